//! Measures what a person waits for: an edit from click to landed changeset, and from click to the verdict of a trial.
//!
//! `bench/clicks` runs it: clicks REGROW FLEET RUNS
//!
//! The fleet has the example server `web1`, locked. It starts the real `regrow serve`, saves a form and lands the draft
//! as a browser does; then saves a form and lets the draft be tried, until the page is told that the trial has ended.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for the terminal")]

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

mod serving;

use regrow_ops::context::{Clock, Context, Setup};
use regrow_ops::{drafts, jobs};
use serving::{Connection, Error, Serving};

fn main() -> Result<(), Error> {
    let mut args = std::env::args().skip(1);
    let (Some(regrow), Some(fleet), Some(runs)) = (args.next(), args.next(), args.next()) else {
        return Err("usage: clicks REGROW FLEET RUNS".into());
    };
    let home = PathBuf::from(std::env::var_os("REGROW_HOME").ok_or("REGROW_HOME is not set")?);
    let (fleet, runs) = (PathBuf::from(fleet), runs.parse::<usize>()?);
    let ctx = Context::new(Setup {
        fleet: Some(fleet.clone()),
        home: home.clone(),
        actor: "ann".to_owned(),
        program: PathBuf::from(&regrow),
        clock: Clock::System,
    });
    let serving = Serving::start(Path::new(&regrow), &fleet, &home)?;
    let connection = Connection::open(&serving.address)?;
    let mut person = Person { cookie: serving.sign_in()?, address: serving.address.clone(), connection, ctx };

    let (mut saved, mut landed, mut both) = (Vec::new(), Vec::new(), Vec::new());
    for n in 0..runs {
        let (draft, save) = person.save(&format!("landed {n}"))?;
        // Its build starts by itself; it is not what is measured.
        person.quiet()?;
        let land = person.land(&draft)?;
        saved.push(save);
        landed.push(land);
        both.push(save + land);
    }
    let mut judged = Vec::new();
    for n in 0..runs {
        let (draft, save) = person.save(&format!("tried {n}"))?;
        let began = Instant::now();
        let job = person.try_it(&draft)?;
        Connection::open(&serving.address)?.follow(&format!("{job}/events?after=0"), &person.cookie)?;
        judged.push(save + began.elapsed());
        person.quiet()?;
        person.discard(&draft)?;
    }
    println!("| from click to | median ms | worst ms |\n|---|---:|---:|");
    for (what, times) in
        [("saved in a draft", saved), ("landed", landed), ("saved and landed", both), ("judged in a trial", judged)]
    {
        let mut times: Vec<f64> = times.iter().map(|t| t.as_secs_f64() * 1000.0).collect();
        times.sort_by(f64::total_cmp);
        println!("| {what} | {:.0} | {:.0} |", times[times.len() / 2], times[times.len() - 1]);
    }
    Ok(())
}

/// Somebody at a browser.
struct Person {
    address: String,
    connection: Connection,
    cookie: String,
    ctx: Context,
}

impl Person {
    /// What a page's forms carry.
    fn tokens(&mut self, page: &str) -> Result<String, Error> {
        // The server closes connections that are quiet for long.
        self.connection = Connection::open(&self.address)?;
        let answer = self.connection.get(page, &self.cookie)?;
        let text = String::from_utf8(answer.body)?;
        let field = |name: &str| {
            let rest = text.split_once(&format!("name=\"{name}\" value=\""))?.1;
            Some(format!("{name}={}", rest.split_once('"')?.0))
        };
        Ok(format!(
            "{}&{}",
            field("session").ok_or("no session in a form")?,
            field("once").ok_or("no token in a form")?
        ))
    }

    /// Sends a form; how long the answer took and where it leads.
    fn send(&mut self, to: &str, form: &str) -> Result<(Duration, String), Error> {
        let began = Instant::now();
        let answer = self.connection.post(to, &self.cookie, form)?;
        let took = began.elapsed();
        match answer.location {
            Some(location) if answer.status == 303 => Ok((took, location)),
            _ => Err(format!("{to} answers {}: {}", answer.status, String::from_utf8_lossy(&answer.body)).into()),
        }
    }

    /// Changes a file by a form, into a new draft; the draft.
    fn save(&mut self, content: &str) -> Result<(String, Duration), Error> {
        let page = "/server/web1/files/%2Fetc%2Fmotd";
        let tokens = self.tokens("/server/web1/system/-")?;
        let content = content.replace(' ', "+");
        let form = format!(
            "{tokens}&draft=new&target=server:web1&then={page}&do=set&key=files.%22/etc/motd%22.content&value={content}"
        );
        let (took, _) = self.send("/edit", &form)?;
        let draft = drafts::list(&self.ctx)?.into_iter().next().ok_or("no draft was made")?;
        Ok((draft.id, took))
    }

    fn land(&mut self, draft: &str) -> Result<Duration, Error> {
        let tokens = self.tokens(&format!("/draft/{draft}"))?;
        Ok(self.send(&format!("/draft/{draft}/land"), &format!("{tokens}&message=Another+greeting"))?.0)
    }

    /// Tries a draft; the job.
    fn try_it(&mut self, draft: &str) -> Result<String, Error> {
        let tokens = self.tokens(&format!("/draft/{draft}"))?;
        let (_, location) = self.send(&format!("/draft/{draft}/try"), &format!("{tokens}&server=web1"))?;
        let job = jobs::list(&self.ctx, Some("web1"), 1)?.pop().ok_or("no job was started")?;
        eprintln!("{location}: job {}", job.id);
        Ok(format!("/job/{}", job.id))
    }

    fn discard(&mut self, draft: &str) -> Result<(), Error> {
        let tokens = self.tokens(&format!("/draft/{draft}"))?;
        self.send(&format!("/draft/{draft}/discard"), &tokens)?;
        Ok(())
    }

    /// Waits until no job runs.
    fn quiet(&self) -> Result<(), Error> {
        for job in jobs::running(&self.ctx)? {
            let mut events = jobs::subscribe(&self.ctx, job.id, 0)?;
            while !events.ended() {
                events.next_within(Duration::from_secs(1))?;
            }
        }
        Ok(())
    }
}
