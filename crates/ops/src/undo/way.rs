//! How an act can be undone, as data that is kept with the act.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::accounts::Role;
use crate::wanted::short;

/// What was done, as far as undoing it needs to know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "did", rename_all = "snake_case")]
pub enum Way {
    /// A changeset landed. Another one takes it back: history is never rewritten.
    Landed {
        /// The changeset, a full commit id.
        revision: String,
    },
    /// A draft was changed. It becomes again what it was; what was done to it later stays.
    Draft {
        /// Its id.
        draft: String,
        /// When it was made: ids are used again.
        created: Timestamp,
        /// Its tip before; `None` if it was made by this: then it is set aside.
        before: Option<String>,
        /// Its tip after.
        after: String,
    },
    /// A draft was set aside. It comes back.
    Discarded {
        /// Its id.
        draft: String,
        /// When it was made.
        created: Timestamp,
    },
    /// Another revision went online. The one before comes back, by a rollback with the state as it is.
    Switched {
        /// The server.
        server: String,
        /// The revision before; `None` if nothing was online: then it is stopped.
        from: Option<String>,
        /// The revision that went online.
        to: String,
    },
    /// The server was rolled back. It is switched to what was online before that.
    RolledBack {
        /// The server.
        server: String,
        /// The revision before.
        from: String,
        /// The revision that it went back to.
        to: String,
    },
    /// A switch failed, or was sent back, and its revision is held. It is tried again.
    Held {
        /// The server.
        server: String,
        /// The held revision.
        revision: String,
    },
    /// A server was stopped. It is started.
    Stopped {
        /// The server.
        server: String,
    },
    /// A stopped server was started. It is stopped.
    Started {
        /// The server.
        server: String,
    },
    /// An account was added (no role before), or its role was changed.
    Account {
        /// Its name.
        name: String,
        /// Its role before.
        before: Option<Role>,
        /// Its role after.
        after: Role,
    },
}

impl Way {
    /// Of a job on a server, from what its report says.
    pub(crate) fn of_job(verb: &str, server: &str, state: &str, report: &Value) -> Option<Way> {
        let text = |name: &str| report[name].as_str().map(str::to_owned);
        let server = server.to_owned();
        let verb = report["verb"].as_str().unwrap_or(verb);
        if state == "no" && report["held"] == true {
            return Some(Way::Held { server, revision: text("to_revision")? });
        }
        if state != "done" || report["unchanged"] == true || report["servers"].as_array().is_some_and(Vec::is_empty) {
            return None;
        }
        match verb {
            "switch" => Some(Way::Switched { server, from: text("from_revision"), to: text("to_revision")? }),
            "rollback" => Some(Way::RolledBack { server, from: text("from_revision")?, to: text("to_revision")? }),
            "stop" => Some(Way::Stopped { server }),
            "start" => Some(Way::Started { server }),
            _ => None,
        }
    }

    /// The server that is online, if it is about one.
    pub fn server(&self) -> Option<&str> {
        match self {
            Way::Switched { server, .. }
            | Way::RolledBack { server, .. }
            | Way::Held { server, .. }
            | Way::Stopped { server }
            | Way::Started { server } => Some(server),
            _ => None,
        }
    }

    /// What somebody must be allowed to undo it.
    pub fn role(&self) -> Role {
        match self {
            Way::Landed { .. } | Way::Draft { .. } | Way::Discarded { .. } => Role::Edit,
            _ => Role::Switch,
        }
    }

    /// Whether `undo` without a number may choose it: trying a failed switch again is asked for by its number.
    pub fn is_plain(&self) -> bool {
        !matches!(self, Way::Held { .. })
    }

    /// What undoing it does, for a button or a line: "take it back by a revert".
    pub fn words(&self) -> String {
        match self {
            Way::Landed { revision } => format!("take {} back by a revert", short(revision)),
            Way::Draft { draft, before: None, .. } => format!("set the draft {draft} aside"),
            Way::Draft { draft, .. } => format!("make the draft {draft} what it was before"),
            Way::Discarded { draft, .. } => format!("take the draft {draft} back"),
            Way::Switched { server, from: Some(from), .. } => format!("roll {server} back to {}", short(from)),
            Way::Switched { server, from: None, .. } | Way::Started { server } => format!("stop {server}"),
            Way::RolledBack { server, from, .. } => format!("switch {server} to {} again", short(from)),
            Way::Held { server, revision } => format!("try the switch of {server} to {} again", short(revision)),
            Way::Stopped { server } => format!("start {server} again"),
            Way::Account { name, before: None, .. } => format!("remove the account {name}"),
            Way::Account { name, before: Some(role), .. } => format!("give {name} the role {role} again"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_a_job_did_is_read_from_its_report() {
        let of = |verb, state, report| Way::of_job(verb, "web1", state, &report);
        let switched = json!({"from_revision": "a", "to_revision": "b", "unchanged": false, "held": false});
        let server = || "web1".to_owned();
        let way = Way::Switched { server: server(), from: Some("a".to_owned()), to: "b".to_owned() };
        assert_eq!(of("switch", "done", switched.clone()), Some(way));
        let way = Way::RolledBack { server: server(), from: "a".to_owned(), to: "b".to_owned() };
        assert_eq!(of("rollback", "done", switched.clone()), Some(way.clone()));
        let mut undone = switched.clone();
        undone["verb"] = "rollback".into();
        assert_eq!(of("undo", "done", undone), Some(way), "an undo is what it did");
        assert_eq!(of("undo", "done", switched.clone()), None);
        assert_eq!(of("switch", "failed", switched.clone()), None);
        assert_eq!(of("switch", "done", json!({"to_revision": "b", "unchanged": true})), None);
        let held = json!({"from_revision": "a", "to_revision": "b", "held": true});
        let way = Way::Held { server: server(), revision: "b".to_owned() };
        assert!(!way.is_plain());
        assert_eq!(of("switch", "no", held), Some(way));
        assert_eq!(of("stop", "done", json!({"servers": []})), None, "it was not online");
        assert_eq!(of("stop", "done", json!({"servers": ["web1"]})), Some(Way::Stopped { server: server() }));
        assert_eq!(of("build", "done", json!({})), None);
    }
}
