//! Follows one question for ever: by blocking queries, or a file by its folder's events.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use consul::types::{CatalogNode, KvEntry, Node, ServiceEntry};
use consul::watch::{Event, Watch};
use consul::{Client, Error, Query};
use std::collections::BTreeMap;
use tokio::sync::mpsc;

use super::memory::Memory;
use super::{Question, Reply};
use crate::config::WatchedFile;
use crate::discovery::SETTLE;
use crate::template::board::Board;
use crate::until::until;

/// How long one query may wait for a change. With Consul's jitter and a margin, it is also how soon a dead connection is
/// noticed.
const WAIT: Duration = Duration::from_secs(30);

/// A file whose folder cannot be watched is looked for again after so long.
const FILE_RETRY: Duration = Duration::from_secs(5);

/// A file that templates read is configuration: what is larger is a mistake.
const FILE_LIMIT: u64 = 16 << 20;

/// A new answer to a question.
#[derive(Debug)]
pub(crate) struct News {
    pub(crate) question: Question,
    pub(crate) reply: Reply,
}

/// Follows `question` until nobody reads `news` any more.
pub(crate) async fn follow(
    client: Client,
    question: Question,
    board: Board,
    news: mpsc::Sender<News>,
) {
    if let Question::File { path } = &question {
        return follow_file(path.clone(), question.clone(), &board, &news).await;
    }
    let Some(source) = Source::open(&client, &question, &board).await else {
        return; // Only if the task is to end.
    };
    let follower = Follower {
        client,
        question,
        source,
        memory: Memory::default(),
        unconfirmed: false,
        board,
        news,
    };
    follower.run().await;
}

/// A watch of any kind.
enum Source {
    Instances(Watch<Vec<ServiceEntry>>, bool),
    Services(Watch<BTreeMap<String, Vec<String>>>),
    Nodes(Watch<Vec<Node>>, bool),
    Node(Watch<Option<CatalogNode>>),
    Datacenters(Watch<Vec<String>>),
    Key(Watch<Option<KvEntry>>),
    Keys(Watch<Vec<KvEntry>>),
}

impl Source {
    async fn open(client: &Client, question: &Question, board: &Board) -> Option<Self> {
        let client = client.clone();
        let query = query(question);
        Some(match question {
            Question::Service { name, near, .. } => Self::Instances(
                Watch::health_service(client, name.as_str(), query),
                near.is_some(),
            ),
            Question::Services { .. } => Self::Services(Watch::catalog_services(client, query)),
            Question::Nodes { near, .. } => {
                Self::Nodes(Watch::catalog_nodes(client, query), near.is_some())
            }
            Question::Node { name, .. } => {
                let name = match name {
                    Some(name) => name.clone(),
                    None => own_node(&client, question, board).await,
                };
                Self::Node(Watch::catalog_node(client, name, query))
            }
            Question::Datacenters => Self::Datacenters(Watch::catalog_datacenters(client)),
            Question::Key { path, .. } => Self::Key(Watch::key(client, path.as_str(), query)),
            Question::Keys { prefix, .. } => {
                Self::Keys(Watch::keys(client, prefix.as_str(), query))
            }
            Question::File { .. } => return None,
        })
    }

    async fn next(&mut self) -> Event<Reply> {
        match self {
            Self::Instances(watch, near) => {
                let near = *near;
                mapped(watch.next().await, |list| Reply::instances(list, near))
            }
            Self::Services(watch) => mapped(watch.next().await, Reply::Services),
            Self::Nodes(watch, near) => {
                let near = *near;
                mapped(watch.next().await, |list| nodes(list, near))
            }
            Self::Node(watch) => mapped(watch.next().await, Reply::Node),
            Self::Datacenters(watch) => mapped(watch.next().await, Reply::Datacenters),
            Self::Key(watch) => mapped(watch.next().await, Reply::keys),
            Self::Keys(watch) => mapped(watch.next().await, Reply::keys),
        }
    }
}

fn mapped<T, U>(event: Event<T>, change: impl FnOnce(T) -> U) -> Event<U> {
    match event {
        Event::Changed { value, index } => Event::Changed {
            value: change(value),
            index,
        },
        Event::Unchanged { index } => Event::Unchanged { index },
        Event::Failed {
            error,
            attempts,
            retry_in,
        } => Event::Failed {
            error,
            attempts,
            retry_in,
        },
    }
}

fn nodes(mut list: Vec<Node>, sorted_by_registry: bool) -> Reply {
    if !sorted_by_registry {
        list.sort_by(|a, b| a.node.cmp(&b.node));
    }
    Reply::Nodes(list)
}

fn query(question: &Question) -> Query {
    let query = Query {
        wait: Some(WAIT),
        ..Query::default()
    };
    match question.clone() {
        Question::Service {
            tag,
            datacenter,
            near,
            filter,
            ..
        } => Query {
            tags: tag.into_iter().collect(),
            datacenter,
            near,
            filter,
            ..query
        },
        Question::Nodes {
            datacenter,
            near,
            filter,
        } => Query {
            datacenter,
            near,
            filter,
            ..query
        },
        Question::Services { datacenter }
        | Question::Node { datacenter, .. }
        | Question::Key { datacenter, .. }
        | Question::Keys { datacenter, .. } => Query {
            datacenter,
            ..query
        },
        Question::Datacenters | Question::File { .. } => query,
    }
}

/// The name of the node that the agent runs on, asked until it is told.
async fn own_node(client: &Client, question: &Question, board: &Board) -> String {
    /// An agent that is away is back within seconds, or for long.
    const RETRY: Duration = Duration::from_secs(1);
    loop {
        match client.agent_self().await {
            Ok(agent) => return agent.config.node_name,
            Err(error) => board.failed(question, &error.to_string()),
        }
        tokio::time::sleep(RETRY).await;
    }
}

/// The task that follows one question to the registry.
struct Follower {
    client: Client,
    question: Question,
    source: Source,
    memory: Memory,
    /// An empty answer that nobody has confirmed: it is asked about again with the next answer.
    unconfirmed: bool,
    board: Board,
    news: mpsc::Sender<News>,
}

impl Follower {
    async fn run(mut self) {
        loop {
            let doubtful = self.memory.until();
            let told = tokio::select! {
                event = self.source.next() => self.take(event).await,
                () = until(doubtful) => self.memory.expire(Instant::now()),
            };
            let Some(reply) = told else { continue };
            let news = News {
                question: self.question.clone(),
                reply,
            };
            if self.news.send(news).await.is_err() {
                return; // Nobody reads any more.
            }
        }
    }

    async fn take(&mut self, event: Event<Reply>) -> Option<Reply> {
        match event {
            Event::Changed { value, index } => self.answered(value, index).await,
            Event::Unchanged { index } if self.unconfirmed => {
                // What was the same is the empty answer.
                match ask_the_leader(&self.client, &self.question).await {
                    Ok((value, _)) => self.believe(value, index),
                    Err(error) => {
                        self.failed(&format!("an empty answer cannot be confirmed: {error}"))
                    }
                }
            }
            Event::Unchanged { index } => {
                self.memory.unchanged(index);
                self.board
                    .answered(&self.question, index, self.memory.is_holding());
                None
            }
            Event::Failed { error, .. } => self.failed(&error.to_string()),
        }
    }

    async fn answered(&mut self, value: Reply, index: u64) -> Option<Reply> {
        if !self.memory.would_empty(&value) {
            return self.believe(value, index);
        }
        // A follower cut off from its leader can say 200 and nothing. The leader knows.
        match ask_the_leader(&self.client, &self.question).await {
            Ok((value, index)) => self.believe(value, index),
            Err(error) => {
                self.unconfirmed = true;
                self.failed(&format!("an empty answer cannot be confirmed: {error}"))
            }
        }
    }

    fn believe(&mut self, value: Reply, index: u64) -> Option<Reply> {
        self.unconfirmed = false;
        let was_holding = self.memory.is_holding();
        let reply = self.memory.answer(value, index, Instant::now(), SETTLE);
        let holding = self.memory.is_holding();
        if holding && !was_holding {
            tracing::warn!(
                dependency = %self.question,
                "the registry has forgotten what it knew: kept for up to {}s",
                SETTLE.as_secs()
            );
        }
        self.board.answered(&self.question, index, holding);
        Some(reply)
    }

    fn failed(&mut self, error: &str) -> Option<Reply> {
        self.memory.failed();
        self.board.failed(&self.question, error);
        None
    }
}

/// The same question, which the leader must answer itself, at once.
async fn ask_the_leader(client: &Client, question: &Question) -> Result<(Reply, u64), Error> {
    let query = Query {
        consistent: true,
        wait: None,
        ..query(question)
    };
    Ok(match question {
        Question::Service { name, near, .. } => {
            let answer = client.health_service(name, &query).await?;
            (Reply::instances(answer.value, near.is_some()), answer.index)
        }
        Question::Services { .. } => {
            let answer = client.catalog_services(&query).await?;
            (Reply::Services(answer.value), answer.index)
        }
        Question::Nodes { near, .. } => {
            let answer = client.catalog_nodes(&query).await?;
            (nodes(answer.value, near.is_some()), answer.index)
        }
        Question::Key { path, .. } => {
            let answer = client.kv_find(path, &query).await?;
            (Reply::keys(answer.value), answer.index)
        }
        Question::Keys { prefix, .. } => {
            let answer = client.kv_list(prefix, &query).await?;
            (Reply::keys(answer.value), answer.index)
        }
        Question::Node { name, .. } => match name {
            Some(name) => {
                let answer = client.find_node(name, &query).await?;
                (Reply::Node(answer.value), answer.index)
            }
            // Its own agent said so.
            None => (Reply::Node(None), 0),
        },
        Question::Datacenters | Question::File { .. } => {
            let answer = client.catalog_datacenters().await?;
            (Reply::Datacenters(answer.value), answer.index)
        }
    })
}

async fn follow_file(path: PathBuf, question: Question, board: &Board, news: &mpsc::Sender<News>) {
    loop {
        let mut file = match WatchedFile::watch(path.clone()) {
            Ok(file) => file,
            Err(error) => {
                board.failed(
                    &question,
                    &format!("cannot watch {}: {error}", path.display()),
                );
                tokio::time::sleep(FILE_RETRY).await;
                continue;
            }
        };
        loop {
            let too_large = std::fs::metadata(&path).is_ok_and(|meta| meta.len() > FILE_LIMIT);
            let text = if too_large { None } else { file.text() };
            match text {
                Some(_) => board.answered(&question, 0, false),
                None if too_large => board.failed(
                    &question,
                    &format!("{} is larger than {} MiB", path.display(), FILE_LIMIT >> 20),
                ),
                None => board.failed(&question, &format!("cannot read {}", path.display())),
            }
            let told = News {
                question: question.clone(),
                reply: Reply::File(text.map(str::to_owned)),
            };
            if news.send(told).await.is_err() {
                return;
            }
            file.changed().await;
        }
    }
}
