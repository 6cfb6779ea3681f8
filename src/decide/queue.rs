//! In which order labelled items are looked at, and how many of them in one poll.
//!
//! Knows an item's priority and number only, so that ten thousand of them fit into a few pages of memory.

use crate::domain::{WorkItem, WorkItemId};

/// Items looked at closely in one poll, at most: each costs a handful of reads, and a poll has a few minutes.
pub const LOOKS: usize = 60;
/// Of these, so many are always the most urgent ones; the others rotate, so that a crowd of urgent items which cannot be
/// claimed does not starve the rest.
pub const URGENT_LOOKS: usize = 40;

/// What decides an item's place: most urgent first, then oldest. Items without priority come last; numbers break ties,
/// so that the order is the same for everybody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    urgency: u8,
    /// The item.
    pub id: WorkItemId,
}

impl Place {
    /// Of an item.
    pub fn of(item: &WorkItem) -> Self {
        Self { urgency: item.priority.unwrap_or(u8::MAX), id: item.id }
    }
}

/// The items to look at in this poll, in order: all of them while they are few, else the most urgent and one window of
/// the rest. `seed` is different in each poll; each window has the same chance every time.
pub fn to_look_at(mut places: Vec<Place>, seed: u64) -> Vec<Place> {
    places.sort_unstable();
    if places.len() <= LOOKS {
        return places;
    }
    let rest = places.split_off(URGENT_LOOKS);
    let size = LOOKS - URGENT_LOOKS;
    let windows = rest.len().div_ceil(size) as u64;
    let window = usize::try_from(mixed(seed) % windows).unwrap_or_default();
    places.extend(rest.into_iter().skip(window * size).take(size));
    places
}

/// Splitmix64: neighbouring seeds land far apart, so a schedule of every five minutes meets every window.
fn mixed(seed: u64) -> u64 {
    let z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn place(id: u32, priority: Option<u8>) -> Place {
        Place { urgency: priority.unwrap_or(u8::MAX), id: WorkItemId(id) }
    }

    #[test]
    fn urgent_first_then_oldest_and_without_priority_last() {
        let places = vec![place(4, None), place(3, Some(2)), place(9, Some(1)), place(1, Some(2))];
        let ids: Vec<u32> = to_look_at(places, 0).iter().map(|place| place.id.0).collect();
        assert_eq!(ids, [9, 1, 3, 4]);
    }

    #[test]
    fn everybody_has_a_turn_and_the_urgent_have_every_one() {
        let all: Vec<Place> = (1..=1_000).map(|id| place(id, Some(2))).collect();
        let mut seen = BTreeSet::new();
        for poll in 0..1_000 {
            // Every five minutes.
            let looked_at = to_look_at(all.clone(), poll * 300);
            assert_eq!(looked_at.len(), LOOKS);
            assert!(looked_at.is_sorted());
            assert_eq!(looked_at[0].id.0, 1);
            seen.extend(looked_at);
        }
        assert_eq!(seen.len(), all.len());
    }
}
