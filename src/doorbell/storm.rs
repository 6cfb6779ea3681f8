//! Many rings by one cause are one message. Pure.

use crate::store::Ring;

/// So many rings of one kind and cause within one delivery are a storm and told as one; two are told one by one.
pub const STORM: usize = 3;

/// Rings in the order in which they are told: those that are one storm together, at the place of its first.
pub(super) fn gather(rings: &[Ring]) -> Vec<Vec<Ring>> {
    let alike = |a: &Ring, b: &Ring| a.cause.is_some() && a.cause == b.cause && a.kind == b.kind;
    let mut groups: Vec<Vec<Ring>> = Vec::new();
    for ring in rings {
        let others = rings.iter().filter(|other| alike(ring, other)).count();
        match groups.iter_mut().find(|group| alike(&group[0], ring)) {
            Some(group) if others >= STORM => group.push(ring.clone()),
            Some(_) | None => groups.push(vec![ring.clone()]),
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::{Cause, Receiver, WorkItemId},
        store::RingKind,
    };
    use jiff::Timestamp;

    fn ring(item: u32, kind: RingKind, cause: Option<Cause>) -> Ring {
        Ring {
            key: format!("{item}-r1/x"),
            kind,
            run: format!("{item}-r1").parse().unwrap(),
            item: WorkItemId(item),
            title: String::new(),
            text: String::new(),
            link: None,
            attempts: 0,
            at: Timestamp::UNIX_EPOCH,
            receiver: Receiver::Webhook,
            cause,
        }
    }

    fn told(rings: &[Ring]) -> Vec<Vec<u32>> {
        gather(rings).iter().map(|group| group.iter().map(|ring| ring.item.0).collect()).collect()
    }

    #[test]
    fn three_of_a_kind_and_cause_are_one() {
        use RingKind::{Done, Frozen, NeedsHuman};
        let away = || Some(Cause::Executor);
        let rings = [
            ring(1, NeedsHuman, away()),
            ring(2, Done, None),
            ring(3, NeedsHuman, away()),
            ring(4, Frozen, away()),
            ring(5, NeedsHuman, Some(Cause::Provider)),
            ring(6, NeedsHuman, away()),
            ring(7, Done, None),
            ring(8, Done, None),
        ];
        let all: Vec<Vec<u32>> = [&[1, 3, 6][..], &[2], &[4], &[5], &[7], &[8]].map(<[u32]>::to_vec).into();
        assert_eq!(told(&rings), all);
        assert_eq!(told(&rings[..3]), [[1], [2], [3]], "two are told one by one");
    }
}
