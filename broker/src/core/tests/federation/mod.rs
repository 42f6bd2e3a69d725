//! Three brokers that hand over to each other, with news that come late and brokers that die, by chance: every request is
//! answered by the broker that took it as long as that lives, nothing goes on twice, and nobody is idle while something waits
//! that was told of in time.

mod step;

use std::collections::VecDeque;

use proptest::prelude::*;

use self::step::{Step, step};
use super::*;

const BROKERS: usize = 3;

const SERVICES: [&str; 2] = ["a", "b"];
const OFFERS: [&[&str]; 3] = [&["a"], &["b"], &["*"]];
/// What the brokers say of themselves, one entry for each name that workers offer.
const NAMES: [&str; 3] = ["a", "b", "*"];

/// The number under which a broker knows another one for a name; and back.
fn far(broker: usize, name: usize) -> Peer {
    Peer(1_000 + (broker * NAMES.len() + name) as u64)
}

/// The number under which a broker knows another one as a client.
fn as_client(broker: usize) -> u64 {
    500 + broker as u64
}

/// Something on its way from one broker to another.
#[derive(Clone, Debug)]
struct Mail {
    from: usize,
    to: usize,
    what: What,
}

#[derive(Clone, Debug)]
enum What {
    Spare(Vec<(usize, Option<u16>)>),
    Over {
        worker: Peer,
        delivery: Delivery,
        service: String,
        body: Frames,
    },
    Back {
        worker: Peer,
        delivery: Delivery,
        message: ToClient,
    },
}

struct World {
    now: Instant,
    brokers: Vec<Broker>,
    /// What workers have: at which broker, who, which, what.
    out: Vec<Vec<(Peer, Delivery, Frames)>>,
    mail: VecDeque<Mail>,
    /// Where each question was asked, while it waits.
    waiting: Vec<Option<usize>>,
}

fn fresh() -> Broker {
    let limits = Limits {
        attempts: 250,
        ..Limits::default()
    };
    Broker::new(limits, 100)
}

impl World {
    fn new() -> Self {
        Self {
            now: Instant::now(),
            brokers: (0..BROKERS).map(|_| fresh()).collect(),
            out: vec![Vec::new(); BROKERS],
            mail: VecDeque::new(),
            waiting: Vec::new(),
        }
    }

    fn on(&mut self, at: usize, input: Input) {
        let outputs = self.brokers[at].on(input, self.now);
        self.brokers[at].check();
        for output in outputs {
            match output {
                Output::Worker(
                    peer,
                    ToWorker::Request {
                        delivery,
                        service,
                        body,
                        ..
                    },
                ) => {
                    if peer.0 < 1_000 {
                        self.out[at].push((peer, delivery, body));
                        continue;
                    }
                    let to = (peer.0 - 1_000) as usize / NAMES.len();
                    let service = service.to_string();
                    let what = What::Over {
                        worker: peer,
                        delivery,
                        service,
                        body,
                    };
                    self.mail.push_back(Mail { from: at, to, what });
                }
                Output::Client(to, message) if to.peer.0 >= 500 => {
                    let number = |at: usize| {
                        let bytes = to.envelope[at].as_ref().try_into();
                        u64::from_be_bytes(bytes.expect("written by this test"))
                    };
                    let (worker, delivery) = (Peer(number(0)), Delivery(number(1)));
                    let what = What::Back {
                        worker,
                        delivery,
                        message,
                    };
                    let to = (to.peer.0 - 500) as usize;
                    self.mail.push_back(Mail { from: at, to, what });
                }
                Output::Client(to, message) => self.answered(at, &to, &message),
                _ => {}
            }
        }
    }

    fn answered(&mut self, at: usize, to: &ReturnAddress, message: &ToClient) {
        let question: usize = text(&to.envelope).parse().expect("written by this test");
        assert_eq!(
            self.waiting[question].take(),
            Some(at),
            "{question} at {at}"
        );
        let ToClient::Final { body, .. } = message else {
            panic!("{question}: {message:?}");
        };
        assert_eq!(text(body), question.to_string());
    }

    fn play(&mut self, step: Step) {
        match step {
            Step::Ask { broker, service } => {
                let question = self.waiting.len().to_string();
                let mut new = request(1, SERVICES[service], &question);
                new.from.envelope = frames(&question);
                new.timeout = Duration::from_secs(24 * 3600);
                new.patient = true;
                self.waiting.push(Some(broker));
                self.on(broker, Input::Request(new));
            }
            Step::Ready {
                broker,
                worker,
                offer,
                capacity,
            } => {
                self.out[broker].retain(|(peer, ..)| *peer != Peer(worker));
                self.on(broker, ready(worker, OFFERS[offer], capacity));
            }
            Step::Final { broker, which } => {
                if let Some((worker, delivery, body)) = self.pick(broker, which) {
                    self.on(
                        broker,
                        Input::Final {
                            worker,
                            delivery,
                            body,
                        },
                    );
                }
            }
            Step::Fail { broker, which } => {
                if let Some((worker, delivery, _)) = self.pick(broker, which) {
                    let (code, text) = (500, Bytes::new());
                    let retryable = true;
                    self.on(
                        broker,
                        Input::Fail {
                            worker,
                            delivery,
                            code,
                            retryable,
                            text,
                        },
                    );
                }
            }
            Step::LoseWorker { broker, worker } => {
                self.out[broker].retain(|(peer, ..)| *peer != Peer(worker));
                self.on(broker, Input::Gone(Peer(worker)));
            }
            Step::Tell { broker } => self.tell(broker),
            Step::Arrive { which } => {
                if !self.mail.is_empty() {
                    self.arrive(which % self.mail.len());
                }
            }
            Step::Die { broker } => self.die(broker),
            Step::Wait { ms } => self.wait(Duration::from_millis(ms)),
        }
    }

    fn pick(&mut self, broker: usize, which: usize) -> Option<(Peer, Delivery, Frames)> {
        let out = &mut self.out[broker];
        (!out.is_empty()).then(|| out.remove(which % out.len()))
    }

    fn tell(&mut self, from: usize) {
        let spare = self.brokers[from].spare();
        let names = NAMES.iter().enumerate();
        let spare: Vec<_> = names
            .map(|(at, name)| (at, spare.get(*name).map(|it| it.free)))
            .collect();
        for to in (0..BROKERS).filter(|&to| to != from) {
            let what = What::Spare(spare.clone());
            self.mail.push_back(Mail { from, to, what });
        }
    }

    /// The first message between two brokers arrives: their order is kept.
    fn arrive(&mut self, which: usize) {
        let pair = (self.mail[which].from, self.mail[which].to);
        let first = self.mail.iter().position(|it| (it.from, it.to) == pair);
        let Some(Mail { from, to, what }) = first.and_then(|at| self.mail.remove(at)) else {
            return;
        };
        match what {
            What::Spare(spare) => {
                for (name, free) in spare {
                    let (worker, service) =
                        (far(from, name), Bytes::from_static(NAMES[name].as_bytes()));
                    self.on(
                        to,
                        Input::Remote {
                            worker,
                            service,
                            free,
                        },
                    );
                }
            }
            What::Over {
                worker,
                delivery,
                service,
                body,
            } => {
                let mut new = request(as_client(from), &service, "");
                new.body = body;
                new.handed = Some(Bytes::new());
                new.timeout = Duration::from_secs(24 * 3600);
                new.from.envelope = [worker.0, delivery.0]
                    .map(|it| Bytes::copy_from_slice(&it.to_be_bytes()))
                    .to_vec();
                self.on(to, Input::Request(new));
            }
            What::Back {
                worker,
                delivery,
                message,
            } => {
                let input = match message {
                    ToClient::Final { body, .. } => Input::Final {
                        worker,
                        delivery,
                        body,
                    },
                    ToClient::Error { refusal, .. } => {
                        assert!(refusal.retry_after.is_some(), "{refusal:?}");
                        if refusal.maybe_executed {
                            let (code, text) = (refusal.code, refusal.text);
                            let retryable = true;
                            Input::Fail {
                                worker,
                                delivery,
                                code,
                                retryable,
                                text,
                            }
                        } else {
                            Input::Refused { worker, delivery }
                        }
                    }
                    other => panic!("{other:?}"),
                };
                self.on(to, input);
            }
        }
    }

    /// A broker dies with all it holds; the others see it at once, and it begins anew.
    fn die(&mut self, broker: usize) {
        self.brokers[broker] = fresh();
        self.out[broker].clear();
        self.mail.retain(|it| it.from != broker && it.to != broker);
        for asked in &mut self.waiting {
            if *asked == Some(broker) {
                *asked = None;
            }
        }
        for other in (0..BROKERS).filter(|&it| it != broker) {
            for name in 0..NAMES.len() {
                self.on(other, Input::Gone(far(broker, name)));
            }
            self.on(other, Input::Gone(Peer(as_client(broker))));
        }
    }

    fn wait(&mut self, time: Duration) {
        self.now += time;
        for at in 0..BROKERS {
            self.on(at, Input::Tick);
        }
    }

    /// Everything arrives, and what workers have is done, until nothing moves.
    fn settle(&mut self) {
        for _ in 0..50 {
            (0..BROKERS).for_each(|at| self.tell(at));
            while !self.mail.is_empty() {
                self.arrive(0);
            }
            // A worker may have something that nobody waits for any more.
            if self.waiting.iter().all(Option::is_none) && self.out.iter().all(Vec::is_empty) {
                return;
            }
            for at in 0..BROKERS {
                while let Some((worker, delivery, body)) = self.pick(at, 0) {
                    self.on(
                        at,
                        Input::Final {
                            worker,
                            delivery,
                            body,
                        },
                    );
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn every_request_is_answered_as_long_as_its_own_broker_lives(
        steps in proptest::collection::vec(step(), 1..150),
        last in 0..BROKERS,
    ) {
        let mut world = World::new();
        for step in steps {
            world.play(step);
        }
        // One worker for everything, at one of the brokers, is enough for all of them.
        world.out[last].retain(|(peer, ..)| *peer != Peer(19));
        world.on(last, ready(19, &["*"], 2));
        world.settle();
        let left: Vec<_> = world.waiting.iter().enumerate().filter(|(_, it)| it.is_some()).collect();
        prop_assert!(left.is_empty(), "not answered: {left:?}");
        for broker in &world.brokers {
            prop_assert_eq!(broker.census().requests, 0);
        }
    }
}
