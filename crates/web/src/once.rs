//! Forms that work once: a double click, a reload, a second sending is no second change.
//!
//! Each drawing of a form carries a token. What the first sending led to is remembered for a while, and the same form
//! sent again goes there. Whoever sends it again meanwhile waits for the first one; nobody else does.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use regrow_ops::Error;

use crate::form::Went;
use crate::session::Secret;

/// How many forms are remembered as sent.
const MOST_SENT: usize = 4096;

/// The forms that this run of the program drew.
#[derive(Debug)]
pub(crate) struct Forms {
    /// Tells forms of this run from those of an earlier one.
    run: Secret,
    sent: Mutex<Sent>,
}

#[derive(Debug, Default)]
struct Sent {
    /// How many there were.
    number: u64,
    /// By token and action: the how-manieth it was, and where it went.
    forms: BTreeMap<String, (u64, Slot)>,
}

/// Where the first sending went; empty while it is under way and after it failed.
type Slot = Arc<Mutex<Option<Went>>>;

impl Forms {
    pub(crate) fn new() -> std::io::Result<Forms> {
        Ok(Forms { run: Secret::new()?, sent: Mutex::default() })
    }

    fn mark(&self) -> &str {
        &self.run.reveal()[..16]
    }

    /// A token for one drawing of a form: `<this run>-<random>`.
    ///
    /// # Errors
    /// If the kernel gives no random bytes.
    pub(crate) fn token(&self) -> regrow_ops::Result<String> {
        let random = Secret::new()
            .map_err(|e| Error::surroundings(format!("the kernel gives no random bytes: {e}"), "try again"))?;
        Ok(format!("{}-{}", self.mark(), &random.reveal()[..32]))
    }

    /// Does what a form asks for, once. What fails may be sent again. `action` tells the buttons of one drawing from each
    /// other.
    ///
    /// `None` if the form was drawn by an earlier run of the program: then nobody knows whether it was sent before.
    pub(crate) fn once<E>(
        &self,
        token: &str,
        action: &str,
        act: impl FnOnce() -> Result<Went, E>,
    ) -> Result<Option<Went>, E> {
        if !token.starts_with(self.mark()) || token.len() != 49 {
            return Ok(None);
        }
        let slot = self.slot(format!("{token} {action}"));
        let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
        if slot.is_none() {
            *slot = Some(act()?);
        }
        Ok(slot.clone())
    }

    fn slot(&self, form: String) -> Slot {
        let mut sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, slot)) = sent.forms.get(&form) {
            return slot.clone();
        }
        if sent.forms.len() >= MOST_SENT {
            let oldest = sent.forms.iter().min_by_key(|(_, (number, _))| *number).map(|(form, _)| form.clone());
            oldest.map(|form| sent.forms.remove(&form));
        }
        sent.number += 1;
        let (number, slot) = (sent.number, Slot::default());
        sent.forms.insert(form, (number, slot.clone()));
        slot
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_works_once_and_again_only_after_a_failure() {
        let (forms, other) = (Forms::new().unwrap(), Forms::new().unwrap());
        let token = forms.token().unwrap();
        let send = |action: &str, to: Result<&str, ()>| forms.once(&token, action, || to.map(Went::to));
        assert_eq!(send("land", Err(())), Err(()));
        assert_eq!(send("land", Ok("/first")), Ok(Some(Went::to("/first"))));
        assert_eq!(send("land", Ok("/second")), Ok(Some(Went::to("/first"))), "sent again");
        assert_eq!(send("discard", Ok("/other")), Ok(Some(Went::to("/other"))), "another button");
        assert_eq!(other.once(&token, "land", || Ok::<_, ()>(Went::to("/"))), Ok(None), "of another run");
    }
}
