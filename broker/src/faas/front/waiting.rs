//! Requests that somebody waits for, and which of them the broker has been told.
//!
//! It knows neither HTTP nor sockets.

use std::collections::HashMap;

use tokio::sync::oneshot;

use super::super::message::{Answer, Job};

#[derive(Debug)]
struct Request {
    job: Job,
    answer: oneshot::Sender<Answer>,
    sent: bool,
}

/// The requests, in no order.
#[derive(Debug, Default)]
pub(in crate::faas) struct Waiting {
    requests: HashMap<String, Request>,
}

impl Waiting {
    pub(in crate::faas) fn insert(&mut self, job: Job, answer: oneshot::Sender<Answer>) {
        let sent = false;
        self.requests
            .insert(job.id.clone(), Request { job, answer, sent });
    }

    /// What has to be sent. `send` tells whether it was.
    pub(in crate::faas) fn send(&mut self, send: impl Fn(&Job) -> bool) {
        self.requests
            .retain(|_, request| !request.answer.is_closed());
        for request in self.requests.values_mut().filter(|it| !it.sent) {
            if !send(&request.job) {
                return; // there is no room; later
            }
            request.sent = true;
        }
    }

    /// What was sent, or the answer, may be lost: all of it is sent again.
    pub(in crate::faas) fn doubt(&mut self) {
        for request in self.requests.values_mut() {
            request.sent = false;
        }
    }

    /// An answer came. One that nobody waits for is dropped.
    pub(in crate::faas) fn answered(&mut self, answer: Answer) {
        if let Some(request) = self.requests.remove(&answer.id) {
            // Whoever waited may have left this moment.
            let _ = request.answer.send(answer);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;
    use crate::faas::message::Note;

    fn job(id: &str) -> Job {
        let text = format!(r#"{{"id":"{id}","message":1}}"#);
        let job = Note::read(text.as_bytes()).and_then(Note::into_job);
        job.expect("a job")
    }

    fn sent(waiting: &mut Waiting, room: usize) -> Vec<String> {
        let log = RefCell::new(Vec::new());
        waiting.send(|job| {
            let fits = log.borrow().len() < room;
            if fits {
                log.borrow_mut().push(job.id.clone());
            }
            fits
        });
        let mut log = log.into_inner();
        log.sort();
        log
    }

    #[test]
    fn each_is_sent_once_unless_there_is_doubt() {
        let mut waiting = Waiting::default();
        let (first, mut a) = oneshot::channel();
        let (second, _b) = oneshot::channel();
        let (third, c) = oneshot::channel();
        waiting.insert(job("a"), first);
        waiting.insert(job("b"), second);
        waiting.insert(job("c"), third);
        assert_eq!(sent(&mut waiting, 2).len(), 2);
        assert_eq!(sent(&mut waiting, 9).len(), 1);
        assert!(sent(&mut waiting, 9).is_empty());
        waiting.answered(Answer::error("a", 500, ""));
        assert!(a.try_recv().is_ok());
        drop(c);
        waiting.doubt();
        assert_eq!(sent(&mut waiting, 9), ["b"], "who left is not asked for");
    }
}
