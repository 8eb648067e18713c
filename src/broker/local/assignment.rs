//! Assignment of partitions to members: as even as subscriptions allow, with as few moves as possible (Kafka's
//! cooperative-sticky).

use std::cmp::Reverse;
use std::collections::BTreeMap;

/// Number of a member. It rises with every join and is never used again, so it also fences off former members, as a
/// generation does in Kafka.
pub type MemberId = u64;

/// Partition of `topic`, and the member that shall own it.
pub struct Target<'a> {
    pub topic: &'a str,
    pub owner: &'a mut Option<MemberId>,
}

/// Gives every partition that a member subscribes to an owner. Owners that are still members keep theirs, until
/// no member has two more than another that could take one.
pub fn balance(targets: &mut [Target<'_>], members: &[(MemberId, &[String])]) {
    let eligible = |topic: &str| {
        let members = members.iter().map(|(id, topics)| (*id, topics.iter().any(|t| t == topic)));
        members.filter_map(|(id, may_own)| may_own.then_some(id)).collect::<Vec<_>>()
    };
    // The first of the least loaded in join order: the same input always gives the same assignment.
    let least = |topic: &str, load: &BTreeMap<MemberId, usize>| {
        let eligible = eligible(topic).into_iter();
        eligible.min_by_key(|id| load.get(id).copied().unwrap_or(0))
    };
    let mut load: BTreeMap<MemberId, usize> = members.iter().map(|(id, _)| (*id, 0)).collect();
    for target in &mut *targets {
        *target.owner = target.owner.filter(|owner| eligible(target.topic).contains(owner));
    }
    for owner in targets.iter().filter_map(|target| *target.owner) {
        *load.entry(owner).or_default() += 1;
    }
    for target in targets.iter_mut().filter(|target| target.owner.is_none()) {
        if let Some(owner) = least(target.topic, &load) {
            *target.owner = Some(owner);
            *load.entry(owner).or_default() += 1;
        }
    }
    // Terminates: each move makes two loads more even.
    loop {
        let candidates = targets.iter_mut().rev().filter_map(|target| {
            let (from, to) = ((*target.owner)?, least(target.topic, &load)?);
            (load[&from] > load[&to] + 1).then_some((target, from, to))
        });
        let Some((target, from, to)) = candidates.min_by_key(|(_, from, _)| Reverse(load[from])) else {
            return;
        };
        *target.owner = Some(to);
        *load.entry(from).or_default() -= 1;
        *load.entry(to).or_default() += 1;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Balances one topic that all members follow.
    fn balanced(mut owners: Vec<Option<MemberId>>, members: &[MemberId]) -> Vec<Option<MemberId>> {
        let topics = ["t".to_owned()];
        let members: Vec<(MemberId, &[String])> = members.iter().map(|id| (*id, &topics[..])).collect();
        let mut targets: Vec<Target> = owners.iter_mut().map(|owner| Target { topic: "t", owner }).collect();
        balance(&mut targets, &members);
        owners
    }

    #[test]
    fn three_partitions_go_to_one_two_three_members_and_a_fourth_stands_by() {
        let one = balanced(vec![None; 3], &[1]);
        assert_eq!(one, [Some(1), Some(1), Some(1)]);
        let two = balanced(one, &[1, 2]);
        assert_eq!(two, [Some(1), Some(1), Some(2)]);
        let three = balanced(two, &[1, 2, 3]);
        assert_eq!(three, [Some(1), Some(3), Some(2)]);
        let four = balanced(three.clone(), &[1, 2, 3, 4]);
        assert_eq!(four, three);
        assert_eq!(balanced(four, &[2, 3, 4]), [Some(4), Some(3), Some(2)]);
        assert_eq!(balanced(three, &[]), [None; 3]);
    }

    #[test]
    fn a_member_gets_only_what_it_subscribes_to() {
        let (a, ab) = (["a".to_owned()], ["a".to_owned(), "b".to_owned()]);
        let mut owners = [None; 6];
        let topics = ["a", "a", "a", "b", "b", "c"];
        let mut targets: Vec<Target> =
            owners.iter_mut().zip(topics).map(|(owner, topic)| Target { topic, owner }).collect();
        balance(&mut targets, &[(1, &ab), (2, &a)]);
        assert_eq!(owners.iter().filter(|owner| **owner == Some(2)).count(), 2);
        assert_eq!(owners[3..], [Some(1), Some(1), None]);
    }

    proptest! {
        #[test]
        fn loads_differ_by_at_most_one_and_no_more_than_needed_moves(
            owners in proptest::collection::vec(proptest::option::of(0_u64..6), 0..40),
            members in proptest::collection::btree_set(0_u64..8, 1..8),
        ) {
            let members: Vec<MemberId> = members.into_iter().collect();
            let after = balanced(owners.clone(), &members);
            let load = |all: &[Option<MemberId>], id| all.iter().filter(|owner| **owner == Some(id)).count();
            let loads: Vec<usize> = members.iter().map(|id| load(&after, *id)).collect();
            prop_assert_eq!(loads.iter().sum::<usize>(), owners.len());
            prop_assert!(loads.iter().max().unwrap() - loads.iter().min().unwrap() <= 1);

            let (fair, extra) = (owners.len() / members.len(), owners.len() % members.len());
            let mut before: Vec<usize> = members.iter().map(|id| load(&owners, *id)).collect();
            before.sort_unstable_by_key(|n| Reverse(*n));
            let can_stay: usize = before
                .iter()
                .enumerate()
                .map(|(rank, n)| (*n).min(fair + usize::from(rank < extra)))
                .sum();
            let stayed = owners.iter().zip(&after).filter(|(was, is)| was.is_some() && was == is).count();
            prop_assert_eq!(stayed, can_stay);
        }
    }
}
