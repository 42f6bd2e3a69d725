//! A real browser without a window: Chromium, spoken to by its own protocol (DevTools) over a pipe, so that it needs neither
//! a port nor a driver. It opens pages and runs scripts in them; it knows nothing of any page of turno's.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{ChildStdin, ChildStdout, Command};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::parts::Part;
use crate::process::Process;
use crate::wait;

/// A first start writes a profile and starts half a dozen processes; on a busy machine that takes its time.
const ANSWER_LIMIT: Duration = Duration::from_secs(60);

/// Chromium takes commands on descriptor 3 and answers on 4. `exec`, so that the process is the browser's.
const ON_PIPES: &str = r#"exec "$0" "$@" 3<&0 4>&1 </dev/null >/dev/null"#;

/// A running browser with one page.
#[derive(Debug)]
pub struct Browser {
    process: Process,
    commands: ChildStdin,
    answers: mpsc::Receiver<Value>,
    /// The id of the last command.
    last: u64,
    /// Which page the commands are for; empty before there is one.
    session: String,
    _profile: tempfile::TempDir,
}

impl Browser {
    /// Starts it with an empty page.
    ///
    /// # Panics
    /// If there is no Chromium, or it does not start.
    pub fn start() -> Browser {
        let profile = tempfile::tempdir().expect("a temporary folder can be made");
        let mut command = Command::new("sh");
        command
            .args(["-c", ON_PIPES])
            .arg(Part::Chromium.path())
            .args(["--headless", "--remote-debugging-pipe", "--disable-gpu"])
            // It opens our own pages only; its sandbox needs rights that a container may lack, and its shared memory a
            // /dev/shm of some size.
            .args(["--no-sandbox", "--disable-dev-shm-usage"])
            // Nothing that goes to the network by itself.
            .args([
                "--no-proxy-server",
                "--no-first-run",
                "--disable-background-networking",
            ])
            .args(["--disable-component-update", "--disable-sync"])
            // Only what is fatal: it says much of desktops that are not there.
            .arg("--log-level=3")
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .env("HOME", profile.path());
        let (process, commands, out) = Process::start_on_pipes("chromium", command);
        let mut browser = Browser {
            process,
            commands,
            answers: messages(out),
            last: 0,
            session: String::new(),
            _profile: profile,
        };
        let page = browser.tell("Target.createTarget", json!({ "url": "about:blank" }));
        let attach = json!({ "targetId": page["targetId"], "flatten": true });
        let attached = browser.tell("Target.attachToTarget", attach);
        let session = attached["sessionId"].as_str();
        session.expect("a session").clone_into(&mut browser.session);
        browser
    }

    /// Opens a page. Returns when the browser has begun to load it.
    ///
    /// # Panics
    /// If it cannot be reached.
    pub fn open(&mut self, url: &str) {
        let opened = self.tell("Page.navigate", json!({ "url": url }));
        assert!(opened.get("errorText").is_none(), "{url}: {opened}");
    }

    /// What a script's last expression is in the page, as JSON; a promise is waited for.
    ///
    /// # Panics
    /// If it throws.
    pub fn run(&mut self, script: &str) -> Value {
        let how = json!({ "expression": script, "returnByValue": true, "awaitPromise": true });
        let mut got = self.tell("Runtime.evaluate", how);
        assert!(
            got.get("exceptionDetails").is_none(),
            "{script}: {}",
            got["exceptionDetails"]
        );
        got["result"]["value"].take()
    }

    /// The text that a person sees.
    pub fn text(&mut self) -> String {
        let text = self.run("document.body ? document.body.innerText : ''");
        text.as_str().unwrap_or_default().to_owned()
    }

    /// Waits until a person sees all of this.
    ///
    /// # Panics
    /// If it does not come.
    pub fn await_text(&mut self, wanted: &[&str]) {
        let mut seen = String::new();
        let started = Instant::now();
        while !wanted.iter().all(|wanted| seen.contains(wanted)) {
            assert!(
                started.elapsed() < wait::SOON,
                "waited in vain for {wanted:?}; the page says:\n{seen}"
            );
            std::thread::sleep(Duration::from_millis(20));
            seen = self.text();
        }
    }

    /// Follows the first link with this text.
    ///
    /// # Panics
    /// If there is none.
    pub fn follow(&mut self, text: &str) {
        let link = format!(
            "{{ const link = [...document.links].find((link) => link.textContent === {}); link?.click(); !!link }}",
            json!(text)
        );
        let page = self.text();
        assert_eq!(self.run(&link), true, "no link {text:?} in\n{page}");
    }

    /// Sends a command and returns its result. What the browser tells meanwhile is not listened to.
    fn tell(&mut self, method: &str, params: Value) -> Value {
        self.last += 1;
        let mut command = json!({ "id": self.last, "method": method, "params": params });
        if !self.session.is_empty() {
            command["sessionId"] = json!(self.session);
        }
        let sent = self
            .commands
            .write_all(format!("{command}\0").as_bytes())
            .and_then(|()| self.commands.flush());
        if let Err(error) = sent {
            panic!("{method}: {error}\n{}", self.process.output());
        }
        let until = Instant::now() + ANSWER_LIMIT;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let Ok(mut answer) = self.answers.recv_timeout(left) else {
                panic!("{method}: no answer\n{}", self.process.output());
            };
            if answer["id"] == self.last {
                assert!(answer.get("error").is_none(), "{method}: {answer}");
                return answer["result"].take();
            }
        }
    }
}

/// The messages, each of which ends with a zero. The thread ends with the pipe, that is with the browser.
fn messages(out: ChildStdout) -> mpsc::Receiver<Value> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        for message in BufReader::new(out).split(0) {
            let Ok(message) = message else { return };
            let Ok(message) = serde_json::from_slice(&message) else {
                return;
            };
            if sender.send(message).is_err() {
                return;
            }
        }
    });
    receiver
}
