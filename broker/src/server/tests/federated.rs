//! Brokers that hand over to each other, with keys and without.

use std::collections::BTreeSet;

use super::*;
use crate::{
    federation::{Meeting, Place, coordinator::Coordinator},
    zsock::{
        Pipe, PipeEvent,
        curve::{Keys, PublicKey},
    },
};

/// A broker among others.
struct Member {
    server: Server,
    keys: Option<Keys>,
    meet: watch::Sender<Meeting>,
}

impl Member {
    /// With these keys, and those of other brokers. Its own are always among them. `client` may ask and serve as well.
    async fn start(keys: Option<&Keys>, brokers: &[PublicKey], client: Option<PublicKey>) -> Self {
        let (at, told) = watch::channel(None);
        let (meet, meetings) = watch::channel(Meeting::default());
        let listed: Vec<PublicKey> = brokers
            .iter()
            .copied()
            .chain(keys.map(Keys::public))
            .collect();
        let allowed: Vec<PublicKey> = listed.iter().copied().chain(client).collect();
        let guard = |keys: Vec<PublicKey>, ours: &Keys| {
            Guard::new(ours.clone(), move |key| keys.contains(&key))
        };
        let part = federation::Config {
            bind: "tcp://127.0.0.1:0".to_owned(),
            at: told,
            meetings,
            guard: keys.map(|ours| guard(listed, ours)),
        };
        let config = Config {
            federation: Some(part),
            guard: keys.map(|ours| guard(allowed, ours)),
            ..config()
        };
        let server = Server::start(config).await.expect("it starts");
        at.send_replace(Some(server.front()[0].clone()));
        Self {
            server,
            keys: keys.cloned(),
            meet,
        }
    }

    fn key(&self) -> Option<PublicKey> {
        self.keys.as_ref().map(Keys::public)
    }

    /// Where it tells its news.
    fn news(&self) -> Place {
        Place {
            address: self.server.news().expect("it tells").to_owned(),
            key: self.key(),
        }
    }

    /// A peer of the broker's front or back.
    async fn peer(&self, address: &str, keys: Option<&Keys>) -> Dealer {
        let pass = keys.map(|keys| Pass::new(keys.clone(), self.key().expect("it has keys too")));
        let mut dealer = Dealer::connect_with(address, 1024, pass.as_ref())
            .await
            .expect("an address");
        let up = timeout(LIMIT, dealer.event()).await.expect("in time");
        assert_eq!(up.expect("the socket lives"), DealerEvent::Up);
        dealer
    }

    async fn client(&self, keys: Option<&Keys>) -> Dealer {
        self.peer(&self.server.front()[0], keys).await
    }

    async fn worker(&self, keys: Option<&Keys>) -> Dealer {
        let dealer = self.peer(&self.server.back()[0], keys).await;
        say(&dealer, "||");
        dealer
    }

    /// Where those are who are believed to be other brokers.
    async fn neighbours(&self) -> Vec<String> {
        let report = self.server.asker().report().await.expect("it runs");
        report.neighbours.into_iter().map(|it| it.at).collect()
    }

    /// Waits until there is another broker, which is this one and no other.
    async fn knows_only(&self, other: &Self) {
        let known = async {
            loop {
                let known = self.neighbours().await;
                if !known.is_empty() {
                    return known;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let known = timeout(LIMIT, known).await.expect("in time");
        assert_eq!(known, other.server.front());
    }
}

/// Everybody is told of everybody, as a registry would.
fn introduce(members: &[&Member]) {
    let hear: BTreeSet<Place> = members.iter().map(|it| it.news()).collect();
    for member in members {
        let tell = BTreeSet::new();
        let hear = hear.clone();
        member.meet.send_replace(Meeting { hear, tell });
    }
}

/// What a client asks of `asked` is served by a worker of `home`.
async fn hands_over(asked: &Member, home: &Member, keys: Option<&Keys>) {
    let mut worker = home.worker(keys).await;
    let mut client = asked.client(keys).await;
    say(&client, "hello");
    let request = hear(&mut worker).await;
    assert!(request.ends_with("|hello"), "{request}");
    say(&worker, &request.replace("hello", "HELLO"));
    assert_eq!(hear(&mut client).await, "HELLO");
    let report = asked.server.asker().report().await.expect("it runs");
    assert_eq!(report.status.counters.handed_over, 1);
    let [neighbour] = &report.neighbours[..] else {
        panic!("one of them is another's: {:?}", report.neighbours);
    };
    assert_eq!(neighbour.key, home.key());
}

fn first(places: &BTreeSet<Place>) -> Place {
    places.first().expect("there is one").clone()
}

fn pass(keys: &Option<Keys>, to: PublicKey) -> Option<Pass> {
    keys.as_ref().map(|it| Pass::new(it.clone(), to))
}

/// Somebody who would like to hear what is told there, with keys or without.
async fn subscribe(to: &Place, keys: &Option<Keys>) -> Pipe {
    let pass = pass(keys, to.key.expect("it has one"));
    let ear = Pipe::subscribe_with(&to.address, 1024 * 1024, "", pass.as_ref()).await;
    ear.expect("an address")
}

/// The next news at this subscriber, or nothing within `limit`.
async fn next_news(ear: &mut Pipe, limit: Duration) -> Option<Vec<Bytes>> {
    let news = async {
        loop {
            if let PipeEvent::Message(news) = ear.event().await.expect("the socket lives") {
                return news;
            }
        }
    };
    timeout(limit, news).await.ok()
}

#[tokio::test]
async fn a_request_is_served_by_the_worker_of_another_broker() {
    let home = Member::start(None, &[], None).await;
    let asked = Member::start(None, &[], None).await;
    introduce(&[&home, &asked]);
    hands_over(&asked, &home, None).await;
}

#[tokio::test]
async fn brokers_that_share_a_key_pair_need_no_list() {
    let (keys, client) = (Keys::generate(), Keys::generate());
    let home = Member::start(Some(&keys), &[], Some(client.public())).await;
    let asked = Member::start(Some(&keys), &[], Some(client.public())).await;
    introduce(&[&home, &asked]);
    hands_over(&asked, &home, Some(&client)).await;
}

#[tokio::test]
async fn brokers_with_keys_of_their_own_list_each_other() {
    let (one, other, client) = (Keys::generate(), Keys::generate(), Keys::generate());
    let home = Member::start(Some(&one), &[other.public()], Some(client.public())).await;
    let asked = Member::start(Some(&other), &[one.public()], Some(client.public())).await;
    introduce(&[&home, &asked]);
    hands_over(&asked, &home, Some(&client)).await;
}

#[tokio::test]
async fn a_coordinator_with_a_key_of_its_own_is_listed_too() {
    let (brokers, ours, client) = (Keys::generate(), Keys::generate(), Keys::generate());
    let (theirs, own) = (brokers.public(), ours.public());
    let guard = Guard::new(ours, move |key| key == theirs);
    let any = "tcp://127.0.0.1:0";
    let coordinator = Coordinator::bind(any, any, Some(&guard));
    let coordinator = coordinator.await.expect("free ports");
    let place = |address: &str| {
        BTreeSet::from([Place {
            address: address.to_owned(),
            key: Some(own),
        }])
    };
    let meeting = Meeting {
        hear: place(coordinator.outward()),
        tell: place(coordinator.inward()),
    };
    let stop = CancellationToken::new();
    let scene = async {
        let home = Member::start(Some(&brokers), &[own], Some(client.public())).await;
        let asked = Member::start(Some(&brokers), &[own], Some(client.public())).await;
        for member in [&home, &asked] {
            member.meet.send_replace(meeting.clone());
        }
        hands_over(&asked, &home, Some(&client)).await;

        // It tells nobody else, and passes on what nobody else says.
        let (keys, stranger) = (Some(brokers), Some(Keys::generate()));
        let (hear, say) = (first(&meeting.hear), first(&meeting.tell));
        let mut ears = [
            subscribe(&hear, &stranger).await,
            subscribe(&hear, &None).await,
        ];
        let mut mouths = Vec::new();
        for keys in [&stranger, &None] {
            let pass = pass(keys, own);
            let mouth = Pipe::publish_newest_to(&say.address, 1024, 1, pass.as_ref()).await;
            mouths.push(mouth.expect("an address"));
        }
        let mut broker = subscribe(&hear, &keys).await;
        for _ in 0..5 {
            for mouth in &mouths {
                // Nobody takes it, if all is well.
                let _ = mouth.try_send(frames("ZWF1|lies"));
            }
            let news = next_news(&mut broker, LIMIT).await.expect("in time");
            assert_ne!(news[1], "lies");
        }
        for ear in &mut ears {
            assert_eq!(next_news(ear, Duration::from_millis(1)).await, None);
        }
        stop.cancel();
    };
    let (ended, ()) = tokio::join!(coordinator.run(stop.clone()), scene);
    ended.expect("a clean end");
}

/// Whoever `outsider` is: nothing is heard of it, or told, though those who belong together find each other meanwhile.
async fn stays_outside(
    outsider: &Member,
    (keys, brokers): (Option<&Keys>, &[PublicKey]),
    client: &Keys,
) {
    let client_key = keys.map(|_| client.public());
    let home = Member::start(keys, brokers, client_key).await;
    let other = Member::start(keys, brokers, client_key).await;
    // A registry may say what it likes of the outsider, as long as it is not the key of somebody else.
    introduce(&[&home, &other, outsider]);
    hands_over(&other, &home, keys.map(|_| client)).await;
    home.knows_only(&other).await;
    other.knows_only(&home).await;
    let theirs = outsider.neighbours().await;
    assert!(theirs.is_empty(), "{theirs:?}");
}

#[tokio::test]
async fn a_broker_whose_key_is_not_listed_hears_nothing_and_is_not_heard() {
    let (stranger, keys, client) = (Keys::generate(), Keys::generate(), Keys::generate());
    // It trusts them; they do not trust it, though it is a client that may ask and serve.
    let outsider = Member::start(Some(&stranger), &[keys.public()], None).await;
    stays_outside(&outsider, (Some(&keys), &[]), &client).await;
    // And the other way round.
    let outsider = Member::start(Some(&stranger), &[], None).await;
    stays_outside(&outsider, (Some(&keys), &[stranger.public()]), &client).await;
}

#[tokio::test]
async fn brokers_with_keys_and_without_are_strangers() {
    let (keys, client) = (Keys::generate(), Keys::generate());
    let outsider = Member::start(None, &[], None).await;
    stays_outside(&outsider, (Some(&keys), &[]), &client).await;
    let outsider = Member::start(Some(&keys), &[], None).await;
    stays_outside(&outsider, (None, &[]), &client).await;
}

#[tokio::test]
async fn an_address_with_another_key_behind_it_gets_nothing() {
    let (keys, thief, client) = (Keys::generate(), Keys::generate(), Keys::generate());
    // It would let everybody in, and says that it has the brokers' key.
    let thief = Member::start(Some(&thief), &[keys.public()], None).await;
    let home = Member::start(Some(&keys), &[], Some(client.public())).await;
    let asked = Member::start(Some(&keys), &[], Some(client.public())).await;
    let mut hear = BTreeSet::from([home.news(), asked.news()]);
    hear.insert(Place {
        key: Some(keys.public()),
        ..thief.news()
    });
    for member in [&home, &asked, &thief] {
        let (hear, tell) = (hear.clone(), BTreeSet::new());
        member.meet.send_replace(Meeting { hear, tell });
    }
    hands_over(&asked, &home, Some(&client)).await;
    home.knows_only(&asked).await;
    assert!(thief.neighbours().await.is_empty(), "nobody lets it in");
}

#[tokio::test]
async fn news_are_for_brokers_and_not_for_clients() {
    let (keys, client) = (Keys::generate(), Keys::generate());
    let home = Member::start(Some(&keys), &[], Some(client.public())).await;
    let news = home.news();
    // The client is let in as a client, which is no reason to tell it of services.
    drop(home.client(Some(&client)).await);
    let mut strangers = [
        subscribe(&news, &Some(client)).await,
        subscribe(&news, &None).await,
    ];
    let mut broker = subscribe(&news, &Some(keys)).await;
    for _ in 0..3 {
        let news = next_news(&mut broker, LIMIT).await.expect("in time");
        assert_eq!(news[0], "ZWF1");
    }
    for stranger in &mut strangers {
        let news = next_news(stranger, Duration::from_millis(1)).await;
        assert_eq!(news, None);
    }
}

#[tokio::test]
async fn a_client_that_says_it_hands_over_is_refused() {
    let (keys, client) = (Keys::generate(), Keys::generate());
    let home = Member::start(Some(&keys), &[], Some(client.public())).await;
    let mut worker = home.worker(Some(&client)).await;
    let mut forger = home.client(Some(&client)).await;
    let ask = |id: &str, headers: &str| format!("ZWC1|\u{1}|default|{id}|{headers}|hello");
    say(&forger, &ask("id", "{\"hop\":1}"));
    let refused = hear(&mut forger).await;
    assert!(
        refused.starts_with("ZWC1|\u{4}|id|403||this key may not hand requests over"),
        "{refused}"
    );
    // As a client it is welcome, and so is a broker.
    let mut broker = home.client(Some(&keys)).await;
    for (peer, headers) in [(&mut forger, ""), (&mut broker, "{\"hop\":1}")] {
        say(peer, &ask("id", headers));
        let request = hear(&mut worker).await;
        assert!(request.ends_with("|hello"), "{request}");
        say(&worker, &request);
        let answer = hear(peer).await;
        assert!(answer.ends_with("|200||hello"), "{answer}");
    }
    let counters = home.server.asker().report().await.expect("it runs");
    assert_eq!(counters.status.counters.taken_over, 1);
}
