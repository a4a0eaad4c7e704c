//! What has a configuration.

use crate::id::TopicName;

/// What kind of thing is configured.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum ResourceType {
    /// A topic.
    Topic,
    /// A broker; without a name, all of them.
    Broker,
    /// What a broker logs.
    BrokerLogger,
    /// Which measures a client sends.
    ClientMetrics,
    /// A group.
    Group,
    /// A kind that is not known here. Its configuration is kept.
    Other(i8),
}

impl ResourceType {
    /// The kind of this number.
    pub const fn from_i8(number: i8) -> Self {
        match number {
            2 => Self::Topic,
            4 => Self::Broker,
            8 => Self::BrokerLogger,
            16 => Self::ClientMetrics,
            32 => Self::Group,
            number => Self::Other(number),
        }
    }

    /// The number in a record.
    pub const fn as_i8(self) -> i8 {
        match self {
            Self::Topic => 2,
            Self::Broker => 4,
            Self::BrokerLogger => 8,
            Self::ClientMetrics => 16,
            Self::Group => 32,
            Self::Other(number) => number,
        }
    }
}

/// One thing that is configured.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Resource {
    /// Its kind.
    pub resource_type: ResourceType,
    /// Its name.
    pub name: String,
}

impl Resource {
    /// What all brokers have in common.
    pub const CLUSTER: Self = Self { resource_type: ResourceType::Broker, name: String::new() };

    /// A topic.
    pub fn topic(name: &TopicName) -> Self {
        Self { resource_type: ResourceType::Topic, name: name.as_str().to_owned() }
    }
}
