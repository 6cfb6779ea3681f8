//! When a cold run is looked at closely: in turns that are spread over minutes by the item's id, whatever the schedule of
//! the visits. A turn belongs to the first visit after it, so none is passed by.

use crate::domain::WorkItemId;
use jiff::{SignedDuration, Timestamp};

/// Minutes from one turn to the next. A prime: visits at even minutes, or every fifth, must not meet the same runs only.
const MINUTES: i64 = 11;
/// How far apart visits are taken to be when nobody remembers the last one: the schedule that is shipped. With a slower
/// one each turn is met now and then only, but each is.
pub const SHIPPED_SCHEDULE: SignedDuration = SignedDuration::from_mins(2);

/// Whether a turn of `item` came after the visit at `last` and by `now`.
pub fn is_its_turn(item: WorkItemId, last: Timestamp, now: Timestamp) -> bool {
    let turns =
        |at: Timestamp| (at.as_second().div_euclid(60).saturating_add(i64::from(item.0))).div_euclid(MINUTES);
    turns(now) > turns(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 24 * 60;
    const ITEMS: std::ops::Range<u32> = 4_700..4_760;

    fn at(minute: i64) -> Timestamp {
        Timestamp::from_second(1_774_982_188 + minute * 60).unwrap()
    }

    /// The longest time without a turn, in minutes.
    fn longest(item: u32, every: i64, last: impl Fn(i64) -> Timestamp) -> i64 {
        let visits = (0..DAY).step_by(usize::try_from(every).unwrap());
        let met = visits.filter(|minute| is_its_turn(WorkItemId(item), last(*minute), at(*minute)));
        let (latest, longest) = met.fold((0, 0), |(before, longest), met| (met, longest.max(met - before)));
        longest.max(DAY - latest)
    }

    #[test]
    fn every_schedule_meets_every_run_in_time() {
        for every in 1..=60 {
            for item in ITEMS {
                let longest = longest(item, every, |minute| at(minute - every));
                assert!(longest < MINUTES + 2 * every, "{item} every {every} min: {longest} min");
            }
        }
    }

    #[test]
    fn without_a_memory_the_shipped_schedule_meets_every_run_in_time_and_others_meet_it_at_all() {
        let forgotten = |minute| at(minute).checked_sub(SHIPPED_SCHEDULE).unwrap();
        for item in ITEMS {
            for every in [1, 2] {
                let longest = longest(item, every, forgotten);
                assert!(longest <= MINUTES + 2, "{item} every {every} min: {longest} min");
            }
            for every in [3, 4, 5, 6, 10, 12, 15, 20, 30, 60] {
                let longest = longest(item, every, forgotten);
                assert!(longest <= MINUTES * every, "{item} every {every} min: {longest} min");
            }
        }
    }

    #[test]
    fn a_visit_looks_closely_at_few() {
        for every in [1, 2, 5] {
            let met = (0..1_100).filter(|item| is_its_turn(WorkItemId(*item), at(7 - every), at(7))).count();
            assert_eq!(met, usize::try_from(every).unwrap() * 100, "every {every} min");
        }
        assert!(!is_its_turn(WorkItemId(7), at(7), at(7)), "twice in a minute is once");
    }
}
