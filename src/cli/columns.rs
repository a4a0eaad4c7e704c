//! Rows in columns, for people.

use std::io::{self, Write};

/// Prints rows of cells: the first column to the left, the others to the right, as wide as their widest cell.
pub(crate) fn columns<const N: usize>(out: &mut impl Write, rows: &[[String; N]]) -> io::Result<()> {
    let widths: [usize; N] =
        std::array::from_fn(|at| rows.iter().map(|row| row[at].chars().count()).max().unwrap_or(0));
    for row in rows {
        for (at, cell) in row.iter().enumerate() {
            let width = widths[at];
            match at {
                0 => write!(out, "{cell:<width$}")?,
                _ => write!(out, "  {cell:>width$}")?,
            }
        }
        writeln!(out)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_is_as_wide_as_its_widest_cell() {
        let mut out = Vec::new();
        let rows = [["topic", "n"], ["a", "1000"]].map(|row| row.map(str::to_owned));
        columns(&mut out, &rows).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "topic     n\na      1000\n");
    }
}
