//! What a worker can do without a program: for trying things out, for tests and for measuring.

use std::{str::FromStr, sync::Arc, time::Duration};

use bytes::Bytes;

use super::{Handler, Job, Outcome};

/// A built-in handler, as `echo`, `upper`, `sleep:MS` or `fail`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Builtin {
    /// Answers the body.
    Echo,
    /// Answers the body in capital letters.
    Upper,
    /// Answers the body after this time.
    Sleep(Duration),
    /// Fails, for good.
    Fail,
}

impl FromStr for Builtin {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once(':') {
            None if text == "echo" => Ok(Self::Echo),
            None if text == "upper" => Ok(Self::Upper),
            None if text == "fail" => Ok(Self::Fail),
            Some(("sleep", ms)) => {
                let ms = ms
                    .parse()
                    .map_err(|_| format!("{ms:?} is no number of milliseconds"))?;
                Ok(Self::Sleep(Duration::from_millis(ms)))
            }
            _ => Err("expected echo, upper, sleep:MS or fail".to_owned()),
        }
    }
}

impl Builtin {
    /// As a handler.
    pub fn handler(self) -> Handler {
        Arc::new(move |job| Box::pin(self.carry_out(job)))
    }

    async fn carry_out(self, job: Job) -> Outcome {
        match self {
            Self::Echo => Outcome::Done(job.body),
            Self::Upper => {
                let frames = job.body.iter();
                Outcome::Done(
                    frames
                        .map(|it| Bytes::from(it.to_ascii_uppercase()))
                        .collect(),
                )
            }
            Self::Sleep(time) => {
                tokio::time::sleep(time).await;
                Outcome::Done(job.body)
            }
            Self::Fail => Outcome::Failed {
                code: 500,
                retryable: false,
                text: "this worker always fails".to_owned(),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_handlers() {
        for (text, want) in [
            ("echo", Some(Builtin::Echo)),
            ("upper", Some(Builtin::Upper)),
            ("fail", Some(Builtin::Fail)),
            ("sleep:50", Some(Builtin::Sleep(Duration::from_millis(50)))),
            ("sleep", None),
            ("sleep:x", None),
            ("echo:1", None),
            ("", None),
        ] {
            assert_eq!(text.parse().ok(), want, "{text:?}");
        }
    }
}
