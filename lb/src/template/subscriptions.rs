//! The followers of all questions that are asked: one for each, started when somebody asks and ended when nobody does.

use std::collections::{BTreeMap, BTreeSet};

use consul::Client;
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};

use super::board::Board;
use super::dependency::{News, Question, follow};

/// Answers waiting to be taken in. Followers wait when it is full: only the newest answer of each matters, and it comes.
const MAX_NEWS: usize = 256;

/// What is followed, and the news of it.
#[derive(Debug)]
pub(crate) struct Subscriptions {
    client: Client,
    board: Board,
    followers: BTreeMap<Question, AbortHandle>,
    tasks: JoinSet<()>,
    sender: mpsc::Sender<News>,
    news: mpsc::Receiver<News>,
}

impl Subscriptions {
    /// Nothing is followed yet.
    pub(crate) fn new(client: Client, board: Board) -> Self {
        let (sender, news) = mpsc::channel(MAX_NEWS);
        Self {
            client,
            board,
            followers: BTreeMap::new(),
            tasks: JoinSet::new(),
            sender,
            news,
        }
    }

    /// Follows what of `questions` is not followed yet.
    pub(crate) fn follow(&mut self, questions: &BTreeSet<Question>) {
        for question in questions {
            if self.followers.contains_key(question) {
                continue;
            }
            self.board.follows(question, true);
            let task = self.tasks.spawn(follow(
                self.client.clone(),
                question.clone(),
                self.board.clone(),
                self.sender.clone(),
            ));
            self.followers.insert(question.clone(), task);
        }
        while self.tasks.try_join_next().is_some() {}
    }

    /// Ends everything that `questions` does not have.
    pub(crate) fn drop_all_but(&mut self, questions: &BTreeSet<Question>) {
        self.followers.retain(|question, task| {
            let wanted = questions.contains(question);
            if !wanted {
                tracing::debug!(dependency = %question, "no template reads it any more");
                task.abort();
                self.board.follows(question, false);
            }
            wanted
        });
    }

    /// Asks another registry from now on. What is known stays until it answers.
    pub(crate) fn ask(&mut self, client: Client) {
        self.client = client;
        let questions: BTreeSet<Question> = self.followers.keys().cloned().collect();
        for (_, task) in std::mem::take(&mut self.followers) {
            task.abort();
        }
        self.follow(&questions);
    }

    /// Whether `question` is followed.
    pub(crate) fn follows(&self, question: &Question) -> bool {
        self.followers.contains_key(question)
    }

    /// Waits for the next answer. Cancel-safe.
    pub(crate) async fn next(&mut self) -> News {
        match self.news.recv().await {
            Some(news) => news,
            // A sender lives in self.
            None => std::future::pending().await,
        }
    }

    /// An answer that is there already.
    pub(crate) fn try_next(&mut self) -> Option<News> {
        self.news.try_recv().ok()
    }
}
