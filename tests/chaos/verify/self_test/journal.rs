//! Trials in the journal: answers that clients got differ from what is there.

use std::io::Write;
use std::path::PathBuf;

use super::{Failure, SelfTest};
use crate::load::journal::{self, Action, Line, Response, Step};

pub(super) async fn trials(test: &mut SelfTest<'_>) -> Result<(), Failure> {
    let own = test.evidence.journal.clone();
    let lines: Vec<Line> = journal::read(&own).collect::<Result<_, _>>()?;
    let title = &test.subjects.one.title;
    let asked = |line: &&Line| matches!(&line.step, Step::Send { title: asked, .. } if asked == title);
    let one = lines.iter().find(asked).ok_or("the journal does not know the subject")?;
    let one = (one.seed, one.number);
    for (broke, altered, expected) in [
        added(&lines, one, test.subjects.one.id).as_slice(),
        altered(&lines, one, test.subjects.cancelled).as_slice(),
    ]
    .concat()
    {
        test.evidence.journal = write(&own, &altered)?;
        test.expect(broke, expected).await;
    }
    test.evidence.journal = own;
    Ok(())
}

type Number = (u64, u64);
type Altered = (&'static str, Vec<Line>, &'static [&'static str]);

/// Adds answers that have no counterpart.
fn added(lines: &[Line], one: Number, id: i64) -> [Altered; 5] {
    const UNKNOWN_FILE: i64 = 900_000;
    let unknown = (one.0, 1 << 60);
    let ask = |title: &str, good| {
        let title = title.to_owned();
        Step::Send { serve: 0, key: None, title, description: None, good }
    };
    let accepted = |id, wrong: Option<&str>| Step::Answer {
        response: answered(201),
        id: Some(id),
        wrong: wrong.map(str::to_owned),
    };
    let action = Action::Cancel;
    let with = |(seed, number): Number, steps: &[Step]| {
        let more = steps.iter().map(|step| Line { at: 0, seed, number, send: 1, step: step.clone() });
        lines.iter().cloned().chain(more).collect::<Vec<_>>()
    };
    [
        (
            "a request was accepted that has no row",
            with(unknown, &[ask("accepted and lost", true), accepted(UNKNOWN_FILE, None)]),
            &["accepted-lost"],
        ),
        (
            "a bad request was accepted",
            with(unknown, &[ask("bad and accepted", false), accepted(UNKNOWN_FILE, None)]),
            &["accepted-lost", "bad-accepted"],
        ),
        (
            "a key was answered with two files",
            with(one, &[accepted(UNKNOWN_FILE, None)]),
            &["other-id", "one-key-two-files"],
        ),
        (
            "an answer was not what was asked for",
            with(one, &[accepted(id, Some("another title"))]),
            &["answer-differs"],
        ),
        (
            "an accepted action is not in the history",
            with(
                one,
                &[
                    Step::Action { serve: 0, id, action },
                    Step::ActionAnswer { id, action, response: answered(202) },
                ],
            ),
            &["transition-lost"],
        ),
    ]
}

/// Removes requests or changes answers.
fn altered(lines: &[Line], one: Number, cancelled: i64) -> [Altered; 3] {
    let is_of_one = |line: &Line| (line.seed, line.number) == one;
    let without =
        |gone: &dyn Fn(&Line) -> bool| lines.iter().filter(|line| !gone(line)).cloned().collect::<Vec<_>>();
    let mut refused = lines.to_vec();
    for line in refused.iter_mut().filter(|line| is_of_one(line)) {
        if let Step::Answer { response, id, .. } = &mut line.step {
            (*response, *id) = (answered(422), None);
        }
    }
    let is_action = |line: &Line| matches!(line.step, Step::Action { id, .. } | Step::ActionAnswer { id, .. } if id == cancelled);
    [
        ("a request was refused that has a row", refused, &["refused-has-row", "good-refused"]),
        ("a file's request is not in the journal", without(&is_of_one), &["row-without-request"]),
        ("a file was cancelled without a request", without(&is_action), &["unrequested-transition"]),
    ]
}

fn answered(status: u16) -> Response {
    Response { status: Some(status), why: None }
}

/// Writes an altered journal next to the original.
fn write(journal: &std::path::Path, lines: &[Line]) -> Result<PathBuf, Failure> {
    let path = journal.with_extension("altered");
    let mut file = std::io::BufWriter::new(std::fs::File::create(&path)?);
    for line in lines {
        serde_json::to_writer(&mut file, line)?;
        file.write_all(b"\n")?;
    }
    file.flush()?;
    Ok(path)
}
