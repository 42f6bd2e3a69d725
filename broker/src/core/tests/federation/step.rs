//! The steps of a story of several brokers; numbers choose among what there is at that moment.

use proptest::prelude::*;

use super::BROKERS;

#[derive(Clone, Debug)]
pub(super) enum Step {
    Ask {
        broker: usize,
        service: usize,
    },
    Ready {
        broker: usize,
        worker: u64,
        offer: usize,
        capacity: u16,
    },
    Final {
        broker: usize,
        which: usize,
    },
    Fail {
        broker: usize,
        which: usize,
    },
    LoseWorker {
        broker: usize,
        worker: u64,
    },
    /// A broker says what it has to spare; the others hear it later.
    Tell {
        broker: usize,
    },
    /// One message between two brokers arrives.
    Arrive {
        which: usize,
    },
    Die {
        broker: usize,
    },
    Wait {
        ms: u64,
    },
}

pub(super) fn step() -> impl Strategy<Value = Step> {
    let (broker, which) = (0..BROKERS, 0..1_000_usize);
    prop_oneof![
        6 => (broker.clone(), 0..2_usize).prop_map(|(broker, service)| Step::Ask { broker, service }),
        2 => (broker.clone(), 11..14_u64, 0..3_usize, 1..4_u16).prop_map(
            |(broker, worker, offer, capacity)| Step::Ready { broker, worker, offer, capacity }),
        5 => (broker.clone(), which.clone()).prop_map(|(broker, which)| Step::Final { broker, which }),
        1 => (broker.clone(), which.clone()).prop_map(|(broker, which)| Step::Fail { broker, which }),
        1 => (broker.clone(), 11..14_u64).prop_map(|(broker, worker)| Step::LoseWorker { broker, worker }),
        4 => broker.clone().prop_map(|broker| Step::Tell { broker }),
        12 => which.prop_map(|which| Step::Arrive { which }),
        1 => broker.prop_map(|broker| Step::Die { broker }),
        1 => (1..1_500_u64).prop_map(|ms| Step::Wait { ms }),
    ]
}
