//! `--shard I/N`: sharing inputs between machines.

use std::fmt;
use std::str::FromStr;

/// One of several machines, or programs, sharing the inputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shard {
    index: usize,
    count: usize,
}

impl Shard {
    /// Keeps every `count`th item, from this machine's first on.
    pub(crate) fn keep<T>(self, items: &mut Vec<T>) {
        let mut position = 0;
        items.retain(|_| {
            position += 1;
            (position - 1) % self.count == self.index
        });
    }
}

impl fmt::Display for Shard {
    /// As on the command line: numbered from one.
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        write!(formatter, "{}/{}", self.index + 1, self.count)
    }
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (index, count) = text.split_once('/').ok_or("write it as I/N, e.g. 1/4")?;
        let number = |part: &str| part.parse::<usize>().map_err(|_| format!("`{part}` is not a number"));
        let (index, count) = (number(index)?, number(count)?);
        if index == 0 || index > count {
            return Err(format!("{index} is not within 1..={count}"));
        }
        Ok(Self { index: index - 1, count })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_are_numbered_from_one() {
        assert_eq!("2/4".parse(), Ok(Shard { index: 1, count: 4 }));
        for wrong in ["0/4", "5/4", "1", "a/b", "1/0"] {
            assert!(wrong.parse::<Shard>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn shards_share_all_items_without_overlap() {
        let mut all: Vec<usize> = Vec::new();
        for shard in ["1/3", "2/3", "3/3"] {
            let mut items: Vec<usize> = (0..10).collect();
            shard.parse::<Shard>().unwrap().keep(&mut items);
            assert!(items.len() >= 3);
            all.extend(items);
        }
        all.sort();
        assert_eq!(all, (0..10).collect::<Vec<_>>());
    }
}
