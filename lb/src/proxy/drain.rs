//! Stopping without a failed request: clients that wait for nothing are let go at once, the others after their response. One
//! who has connected and not asked yet is about to: it gets a moment to do so.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::task::Waker;

/// Whether a worker is stopping, and who has to be told.
#[derive(Debug, Default)]
pub(super) struct Drain {
    on: Cell<bool>,
    patient: Cell<bool>,
    next: Cell<u64>,
    waiting: RefCell<HashMap<u64, Waker>>,
}

impl Drain {
    /// Whether the worker is stopping: each response is a connection's last.
    pub(super) fn is_on(&self) -> bool {
        self.on.get()
    }

    /// Whether a client that waits for nothing has to go. `fresh`: it has not asked for anything yet.
    pub(super) fn lets_go(&self, fresh: bool) -> bool {
        self.on.get() && !(fresh && self.patient.get())
    }

    /// Begins: wakes every client, so that those without a request end, but for those who never had one.
    pub(super) fn start(&self) {
        self.on.set(true);
        self.patient.set(true);
        self.wake();
    }

    /// The moment for those who never had a request is over.
    pub(super) fn end_patience(&self) {
        self.patient.set(false);
        self.wake();
    }

    fn wake(&self) {
        for waker in self.waiting.borrow().values() {
            waker.wake_by_ref();
        }
    }

    /// A number for a client to be known by.
    pub(super) fn register(&self) -> u64 {
        let id = self.next.get();
        self.next.set(id + 1);
        id
    }

    /// Remembers how to wake a client. Its task's waker stays the same, so once is enough.
    pub(super) fn remember(&self, id: u64, waker: &Waker) {
        self.waiting.borrow_mut().insert(id, waker.clone());
    }

    pub(super) fn forget(&self, id: u64) {
        self.waiting.borrow_mut().remove(&id);
    }
}
