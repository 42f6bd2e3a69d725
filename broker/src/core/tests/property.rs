//! Whatever happens in whatever order: nobody is idle while a request it could serve waits, every accepted request ends in
//! exactly one answer to who asked for it, and nobody gets another's.

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

const SERVICES: [&str; 4] = ["a", "b", "img.x", "img.y"];
const OFFERS: [&[&str]; 5] = [
    &["a"],
    &["b", "a"],
    &["img.*"],
    &["*"],
    &["img.x", "img.*", "b"],
];

/// One step of a story; numbers choose among what there is at that moment.
#[derive(Clone, Debug)]
enum Step {
    Ask {
        client: u64,
        service: usize,
        timeout: u64,
        never: bool,
        named: bool,
    },
    AskAgain {
        client: u64,
        which: usize,
    },
    Cancel {
        which: usize,
    },
    Ready {
        worker: u64,
        offer: usize,
        capacity: u16,
    },
    Final {
        which: usize,
    },
    Fail {
        which: usize,
        retryable: bool,
    },
    Forged {
        worker: u64,
        delivery: u64,
    },
    Undelivered {
        which: usize,
    },
    Drain {
        worker: u64,
    },
    Lost {
        peer: u64,
    },
    Wait {
        ms: u64,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let which = 0..1_000_usize;
    prop_oneof![
        6 => (1..5_u64, 0..4_usize, 1..5_000_u64, any::<bool>(), any::<bool>()).prop_map(
            |(client, service, timeout, never, named)| Step::Ask { client, service, timeout, never, named }),
        1 => (1..5_u64, which.clone()).prop_map(|(client, which)| Step::AskAgain { client, which }),
        1 => which.clone().prop_map(|which| Step::Cancel { which }),
        3 => (11..16_u64, 0..5_usize, 1..4_u16).prop_map(
            |(worker, offer, capacity)| Step::Ready { worker, offer, capacity }),
        6 => which.clone().prop_map(|which| Step::Final { which }),
        1 => (which.clone(), any::<bool>()).prop_map(|(which, retryable)| Step::Fail { which, retryable }),
        1 => (11..16_u64, 90..300_u64).prop_map(|(worker, delivery)| Step::Forged { worker, delivery }),
        1 => which.prop_map(|which| Step::Undelivered { which }),
        1 => (11..16_u64).prop_map(|worker| Step::Drain { worker }),
        1 => prop_oneof![1..5_u64, 11..16_u64].prop_map(|peer| Step::Lost { peer }),
        2 => (1..4_000_u64).prop_map(|ms| Step::Wait { ms }),
    ]
}

/// What the test knows of a request, by its body, which is unique.
#[derive(Debug)]
struct Asked {
    request: NewRequest,
    /// Connections that still have to get an answer.
    waiting: Vec<Peer>,
}

#[derive(Default)]
struct World {
    asked: HashMap<String, Asked>,
    order: Vec<String>,
    /// Deliveries that workers have: worker, delivery, body.
    out: Vec<(Peer, Delivery, String)>,
}

impl World {
    /// Notes what the broker said, and checks that it may say it.
    fn note(&mut self, outputs: Vec<Output>) {
        for output in outputs {
            match output {
                Output::Worker(peer, ToWorker::Request { delivery, body, .. }) => {
                    self.out.push((peer, delivery, text(&body)));
                }
                Output::Client(to, ToClient::Final { body, .. }) => {
                    let (question, _) = text(&body)
                        .rsplit_once('=')
                        .map(|(q, a)| (q.to_owned(), a.to_owned()))
                        .expect("answers name their question");
                    self.answered(&question, to.peer);
                }
                Output::Client(to, ToClient::Error { .. }) => {
                    let question = text(&to.envelope);
                    self.answered(&question, to.peer);
                }
                _ => {}
            }
        }
    }

    fn answered(&mut self, question: &str, peer: Peer) {
        let asked = self.asked.get_mut(question).expect("it was asked");
        let at = asked.waiting.iter().position(|waiting| *waiting == peer);
        let at = at.unwrap_or_else(|| panic!("{peer:?} does not wait for {question}: {asked:?}"));
        asked.waiting.remove(at);
    }

    fn pick(&mut self, which: usize) -> Option<(Peer, Delivery, String)> {
        (!self.out.is_empty()).then(|| self.out.remove(which % self.out.len()))
    }

    /// A connection is gone: it waits for nothing, has nothing.
    fn lost(&mut self, peer: Peer) {
        for asked in self.asked.values_mut() {
            asked.waiting.retain(|waiting| *waiting != peer);
        }
        self.out.retain(|(worker, ..)| *worker != peer);
    }
}

struct Story {
    scene: Scene,
    world: World,
}

impl Story {
    fn on(&mut self, input: Input) {
        let out = self.scene.broker.on(input, self.scene.now);
        self.scene.broker.check();
        self.world.note(out);
    }

    fn ask(&mut self, request: NewRequest, question: &str) {
        let peer = request.from.peer;
        let asked = self.world.asked.get_mut(question).expect("noted before");
        if !asked.waiting.contains(&peer) {
            asked.waiting.push(peer);
        }
        self.on(Input::Request(request));
    }

    fn play(&mut self, step: Step) {
        match step {
            Step::Ask {
                client,
                service,
                timeout,
                never,
                named,
            } => {
                let question = format!("q{}", self.world.order.len());
                let mut new = request(client, SERVICES[service], &question);
                new.timeout = Duration::from_millis(timeout);
                new.from.envelope = frames(&question);
                new.retry = if never { Retry::Never } else { Retry::Safe };
                if named {
                    new.id = Some(Bytes::from(question.clone()));
                }
                let asked = Asked {
                    request: new.clone(),
                    waiting: Vec::new(),
                };
                self.world.asked.insert(question.clone(), asked);
                self.world.order.push(question.clone());
                self.ask(new, &question);
            }
            Step::AskAgain { client, which } => {
                let Some(question) = nth(&self.world.order, which) else {
                    return;
                };
                let mut new = self.world.asked[&question].request.clone();
                if new.id.is_some() {
                    new.from.peer = Peer(client);
                    self.ask(new, &question);
                }
            }
            Step::Cancel { which } => {
                let Some(question) = nth(&self.world.order, which) else {
                    return;
                };
                let request = &self.world.asked[&question].request;
                let client = request.from.peer;
                if let Some(name) = request.name() {
                    self.on(Input::Cancel { client, name });
                }
            }
            step => self.play_worker(step),
        }
    }

    fn play_worker(&mut self, step: Step) {
        match step {
            Step::Ready {
                worker,
                offer,
                capacity,
            } => {
                self.world.out.retain(|(peer, ..)| *peer != Peer(worker));
                self.on(ready(worker, OFFERS[offer], capacity));
            }
            Step::Final { which } => {
                let Some((worker, delivery, question)) = self.world.pick(which) else {
                    return;
                };
                let body = frames(&format!("{question}={}", delivery.0));
                self.on(Input::Final {
                    worker,
                    delivery,
                    body,
                });
            }
            Step::Fail { which, retryable } => {
                let Some((worker, delivery, _)) = self.world.pick(which) else {
                    return;
                };
                let text = Bytes::new();
                self.on(Input::Fail {
                    worker,
                    delivery,
                    code: 500,
                    retryable,
                    text,
                });
            }
            Step::Forged { worker, delivery } => {
                let (worker, delivery) = (Peer(worker), Delivery(delivery));
                let own = |(peer, other, _): &(Peer, Delivery, String)| {
                    (*peer, *other) == (worker, delivery)
                };
                if !self.world.out.iter().any(own) {
                    let body = frames("forged=1");
                    self.on(Input::Final {
                        worker,
                        delivery,
                        body,
                    });
                }
            }
            Step::Undelivered { which } => {
                if let Some((_, delivery, _)) = self.world.pick(which) {
                    self.on(Input::Undelivered(delivery));
                }
            }
            Step::Drain { worker } => self.on(Input::WorkerDrain(Peer(worker))),
            Step::Lost { peer } => {
                self.world.lost(Peer(peer));
                self.on(Input::Gone(Peer(peer)));
            }
            Step::Wait { ms } => self.wait(Duration::from_millis(ms)),
            Step::Ask { .. } | Step::AskAgain { .. } | Step::Cancel { .. } => {}
        }
    }

    fn wait(&mut self, time: Duration) {
        let until = self.scene.now + time;
        while let Some(due) = self.scene.broker.next_tick().filter(|due| *due <= until) {
            self.scene.now = due.max(self.scene.now);
            self.on(Input::Tick);
        }
        self.scene.now = until;
    }
}

fn nth(order: &[String], which: usize) -> Option<String> {
    (!order.is_empty()).then(|| order[which % order.len()].clone())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn every_accepted_request_gets_exactly_one_answer(steps in proptest::collection::vec(step(), 1..150)) {
        let limits = Limits { queue_length: 6, answers: 5, workers: 4, ..Limits::default() };
        let mut story = Story { scene: Scene::with(limits), world: World::default() };
        for step in steps {
            story.play(step);
        }
        // All deadlines pass: whoever still waits then was forgotten.
        story.wait(Duration::from_secs(60));
        for (question, asked) in &story.world.asked {
            prop_assert!(asked.waiting.is_empty(), "{question} was not answered: {asked:?}");
        }
        let census = story.scene.broker.census();
        prop_assert_eq!((census.requests, census.bytes), (0, 0));
    }
}
