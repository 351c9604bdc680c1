//! Where a person's decision about a candidate that is being judged is handed in: Keep, or Go back now.
//!
//! The supervisor's one thread of work is busy judging; requests are taken by others. The desk is between them: it is
//! open while a generation is judged, takes one decision about it, and answers those who handed it in when the journal
//! has it. Until then nobody is told that anything was decided.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::control::{Answer, Client};
use super::journal::Decision;
use crate::error::Error;

/// The desk of one server.
#[derive(Debug, Default)]
pub(super) struct Desk(Mutex<Option<Open>>);

#[derive(Debug)]
struct Open {
    generation: u64,
    decision: Option<Decision>,
    waiting: Vec<Arc<Client>>,
}

impl Desk {
    fn lock(&self) -> MutexGuard<'_, Option<Open>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A generation is being judged from now on.
    pub(super) fn open(&self, generation: u64) {
        *self.lock() = Some(Open { generation, decision: None, waiting: Vec::new() });
    }

    /// Whether somebody has decided.
    pub(super) fn decided(&self) -> bool {
        self.lock().as_ref().is_some_and(|open| open.decision.is_some())
    }

    /// The decision, if there is one. Without one nobody can decide any more: the checks have.
    pub(super) fn take(&self) -> Option<Decision> {
        let mut desk = self.lock();
        match desk.as_ref().and_then(|open| open.decision.clone()) {
            Some(decision) => Some(decision),
            None => {
                *desk = None;
                None
            }
        }
    }

    /// Answers those who decided: `saved` says whether the journal has it. Nobody can decide any more.
    pub(super) fn answer(&self, saved: bool) {
        let Some(open) = self.lock().take() else { return };
        let answer = match saved {
            true => Answer::Done,
            false => Answer::failed(&Error::surroundings(
                "the decision could not be written to the journal; what was online before comes back",
                "see the server's supervisor.log",
            )),
        };
        for client in open.waiting {
            client.send(&answer);
        }
    }

    /// Takes a decision about `generation` (`None`: about whichever is judged now). Answers at once if it cannot be
    /// taken, otherwise when it is in the journal.
    pub(super) fn decide(&self, generation: Option<u64>, decision: Decision, client: Arc<Client>) {
        let no =
            |message: String| Answer::Failed { message, help: Some("see what `regrow status` says".into()), exit: 1 };
        let refused = match &mut *self.lock() {
            Some(open) if generation.is_none_or(|g| g == open.generation) => match &open.decision {
                Some(before) if before.keep != decision.keep => {
                    let what = if before.keep { "to keep it" } else { "to go back" };
                    Some(no(format!("{} has decided already {what}", before.by)))
                }
                before => {
                    if before.is_none() {
                        open.decision = Some(decision);
                    }
                    open.waiting.push(client.clone());
                    None
                }
            },
            _ => Some(no("nothing is being judged now: it is decided already".to_owned())),
        };
        if let Some(answer) = refused {
            client.send(&answer);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::os::unix::net::UnixStream;

    use super::*;

    fn client() -> (Arc<Client>, BufReader<UnixStream>) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        (Arc::new(Client::new(ours)), BufReader::new(theirs))
    }

    fn heard(from: &mut BufReader<UnixStream>) -> String {
        let mut line = String::new();
        from.read_line(&mut line).unwrap();
        line
    }

    fn decision(keep: bool) -> Decision {
        Decision { keep, by: "ann".to_owned(), at: 1 }
    }

    #[test]
    fn the_first_decision_counts_and_is_acknowledged_only_when_it_is_saved() {
        let desk = Desk::default();
        let ((ann, mut ann_hears), (bob, mut bob_hears)) = (client(), client());
        desk.decide(None, decision(true), bob.clone());
        assert!(heard(&mut bob_hears).contains("nothing is being judged"));
        desk.open(7);
        desk.decide(Some(6), decision(true), bob.clone());
        assert!(heard(&mut bob_hears).contains("nothing is being judged"), "a page of an earlier switch");
        assert!(!desk.decided());
        desk.decide(Some(7), decision(true), ann);
        desk.decide(Some(7), decision(false), bob);
        assert!(heard(&mut bob_hears).contains("ann has decided already to keep it"));
        assert_eq!(desk.take(), Some(decision(true)));
        ann_hears.get_ref().set_nonblocking(true).unwrap();
        assert!(ann_hears.fill_buf().is_err(), "not before it is saved");
        ann_hears.get_ref().set_nonblocking(false).unwrap();
        desk.answer(true);
        assert_eq!(heard(&mut ann_hears), "\"done\"\n");
    }

    #[test]
    fn when_the_checks_have_decided_nobody_else_can() {
        let desk = Desk::default();
        desk.open(7);
        assert_eq!(desk.take(), None);
        let (ann, mut hears) = client();
        desk.decide(Some(7), decision(false), ann);
        assert!(heard(&mut hears).contains("decided already"));
    }
}
