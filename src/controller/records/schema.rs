//! How a record's struct is written down, and its tagged fields.
//!
//! [`message!`] takes the fields in wire order, each with the first version that has it, and gives the struct with its
//! reading and writing. A message ends with its tagged fields: those that are known have names, the others are kept.

use super::wire::{FieldFault, Input, Wire, put_uvarint};

/// Tagged fields that are not known here. They are kept, so that a record is written back as it was read.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct UnknownTags(Vec<(u32, Vec<u8>)>);

impl UnknownTags {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }
}

/// Whether a message has a field of a tag.
pub(super) enum TagUse {
    Known,
    Unknown,
}

/// Reads the tagged fields: `read` is shown each, and those that it does not know are kept.
pub(super) fn take_tags(
    input: &mut Input<'_>,
    mut read: impl FnMut(u32, &mut Input<'_>) -> Result<TagUse, FieldFault>,
) -> Result<UnknownTags, FieldFault> {
    let count = input.uvarint()?;
    let mut unknown = Vec::new();
    let mut before = None;
    for _ in 0..input.count(count)? {
        let tag = input.uvarint()?;
        if let Some(before) = before.filter(|before| tag <= *before) {
            return Err(FieldFault::TagOrder { tag, before });
        }
        before = Some(tag);
        let size = input.uvarint()?;
        let mut value = input.part(size)?;
        match read(tag, &mut value)? {
            TagUse::Known => value.finish()?,
            TagUse::Unknown => unknown.push((tag, value.to_vec())),
        }
    }
    Ok(UnknownTags(unknown))
}

/// Collects the tagged fields of a message to be written.
#[derive(Default)]
pub(super) struct Tags(Vec<(u32, Vec<u8>)>);

impl Tags {
    pub(super) fn with(mut self, tag: u32, value: &impl Wire, version: i16) -> Self {
        let mut bytes = Vec::new();
        value.put(&mut bytes, version);
        self.0.push((tag, bytes));
        self
    }

    /// Appends them, and the unknown ones in their places.
    pub(super) fn put(mut self, unknown: &UnknownTags, out: &mut Vec<u8>) {
        self.0.extend(unknown.0.iter().cloned());
        self.0.sort_by_key(|(tag, _)| *tag);
        self.0.dedup_by_key(|(tag, _)| *tag);
        put_uvarint(out, self.0.len() as u32);
        for (tag, bytes) in self.0 {
            put_uvarint(out, tag);
            put_uvarint(out, bytes.len() as u32);
            out.extend_from_slice(&bytes);
        }
    }
}

/// A struct of named fields with its wire form: plain fields in order, then tagged ones with their defaults.
macro_rules! message {
    (
        $(#[$about:meta])*
        pub struct $name:ident {
            $($(#[$field_about:meta])* $field:ident: $type:ty, $since:literal..;)*
        }
        tagged {
            $($(#[$tag_about:meta])* $tag:literal => $tagged:ident: $tagged_type:ty = $default:expr, $tag_since:literal..;)*
        }
    ) => {
        $(#[$about])*
        #[derive(Clone, Debug, Eq, PartialEq)]
        pub struct $name {
            $($(#[$field_about])* pub $field: $type,)*
            $($(#[$tag_about])* pub $tagged: $tagged_type,)*
            /// Tagged fields that are not known here.
            pub unknown_tags: $crate::controller::records::schema::UnknownTags,
        }

        impl Default for $name {
            fn default() -> Self {
                Self {
                    $($field: Default::default(),)*
                    $($tagged: $default,)*
                    unknown_tags: Default::default(),
                }
            }
        }

        impl $crate::controller::records::wire::Wire for $name {
            fn take(
                input: &mut $crate::controller::records::wire::Input<'_>,
                version: i16,
            ) -> Result<Self, $crate::controller::records::wire::FieldFault> {
                use $crate::controller::records::schema::{TagUse, take_tags};
                let _ = version;
                let mut message = Self::default();
                $(if version >= $since {
                    message.$field = $crate::controller::records::wire::Wire::take(input, version)?;
                })*
                let unknown = take_tags(input, |tag, _value| match tag {
                    $($tag => {
                        if version < $tag_since {
                            return Err($crate::controller::records::wire::FieldFault::TagVersion { tag, version });
                        }
                        message.$tagged = $crate::controller::records::wire::Wire::take(_value, version)?;
                        Ok(TagUse::Known)
                    })*
                    _ => Ok(TagUse::Unknown),
                })?;
                message.unknown_tags = unknown;
                Ok(message)
            }

            fn put(&self, out: &mut Vec<u8>, version: i16) {
                let _ = version;
                $(if version >= $since {
                    $crate::controller::records::wire::Wire::put(&self.$field, out, version);
                })*
                let tags = $crate::controller::records::schema::Tags::default();
                $(
                    let default: $tagged_type = $default;
                    let is_written = version >= $tag_since && self.$tagged != default;
                    let tags = if is_written { tags.with($tag, &self.$tagged, version) } else { tags };
                )*
                tags.put(&self.unknown_tags, out);
            }
        }
    };
}
pub(super) use message;
