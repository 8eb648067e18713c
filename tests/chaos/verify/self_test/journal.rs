//! Trials in the journal: what clients were told is not what is there.

use std::io::Write;
use std::path::PathBuf;

use super::{Failure, Lab};
use crate::load::journal::{self, By, Line, Said, Step};

pub(super) async fn trials(lab: &mut Lab<'_>) -> Result<(), Failure> {
    let own = lab.evidence.journal.clone();
    let lines: Vec<Line> = journal::read(&own).collect::<Result<_, _>>()?;
    let title = &lab.victims.one.title;
    let asked = |line: &&Line| matches!(&line.step, Step::Ask { title: asked, .. } if asked == title);
    let one = lines.iter().find(asked).ok_or("the journal does not know the victim")?;
    let one = (one.seed, one.number);
    for (broke, altered, expected) in [
        added(&lines, one, lab.victims.one.id).as_slice(),
        altered(&lines, one, lab.victims.cancelled).as_slice(),
    ]
    .concat()
    {
        lab.evidence.journal = write(&own, &altered)?;
        lab.see(broke, expected).await;
    }
    lab.evidence.journal = own;
    Ok(())
}

type Number = (u64, u64);
type Altered = (&'static str, Vec<Line>, &'static [&'static str]);

/// More was answered than is there.
fn added(lines: &[Line], one: Number, id: i64) -> [Altered; 5] {
    const NOBODY: i64 = 900_000;
    let stranger = (one.0, 1 << 60);
    let ask = |title: &str, good| {
        let title = title.to_owned();
        Step::Ask { serve: 0, key: None, title, description: None, good }
    };
    let accepted = |id, wrong: Option<&str>| Step::Answer {
        said: said(201),
        id: Some(id),
        wrong: wrong.map(str::to_owned),
    };
    let by = By::Cancel;
    let with = |(seed, number): Number, steps: &[Step]| {
        let more = steps.iter().map(|step| Line { at: 0, seed, number, send: 1, step: step.clone() });
        lines.iter().cloned().chain(more).collect::<Vec<_>>()
    };
    [
        (
            "a request was accepted that has no row",
            with(stranger, &[ask("accepted and lost", true), accepted(NOBODY, None)]),
            &["accepted-lost"],
        ),
        (
            "a bad request was accepted",
            with(stranger, &[ask("bad and accepted", false), accepted(NOBODY, None)]),
            &["accepted-lost", "bad-accepted"],
        ),
        (
            "a key was answered with two files",
            with(one, &[accepted(NOBODY, None)]),
            &["other-id", "one-key-two-files"],
        ),
        (
            "an answer was not what was asked for",
            with(one, &[accepted(id, Some("another title"))]),
            &["answer-differs"],
        ),
        (
            "a person's move was accepted and is not in the history",
            with(one, &[Step::Move { serve: 0, id, by }, Step::Moved { id, by, said: said(202) }]),
            &["move-lost"],
        ),
    ]
}

/// Less was asked for than is there, or another answer was given.
fn altered(lines: &[Line], one: Number, cancelled: i64) -> [Altered; 3] {
    let is_of_one = |line: &Line| (line.seed, line.number) == one;
    let without =
        |gone: &dyn Fn(&Line) -> bool| lines.iter().filter(|line| !gone(line)).cloned().collect::<Vec<_>>();
    let mut refused = lines.to_vec();
    for line in refused.iter_mut().filter(|line| is_of_one(line)) {
        if let Step::Answer { said, id, .. } = &mut line.step {
            (*said, *id) = (self::said(422), None);
        }
    }
    let is_move =
        |line: &Line| matches!(line.step, Step::Move { id, .. } | Step::Moved { id, .. } if id == cancelled);
    [
        ("a request was refused that has a row", refused, &["refused-has-row", "good-refused"]),
        ("a file's request is not in the journal", without(&is_of_one), &["row-without-request"]),
        ("a file was cancelled and nobody asked for it", without(&is_move), &["moved-by-nobody"]),
    ]
}

fn said(status: u16) -> Said {
    Said { status: Some(status), why: None }
}

/// Beside the journal.
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
