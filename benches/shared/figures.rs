//! Figures of a measurement that has no runs and no medians, one line each.

use std::fmt::Write;

use serde::Serialize;

#[derive(Debug, Serialize)]
pub struct Figures {
    what: String,
    figures: Vec<Figure>,
}

#[derive(Debug, Serialize)]
struct Figure {
    name: String,
    value: f64,
    unit: &'static str,
}

impl Figures {
    pub fn new(what: String) -> Self {
        Self { what, figures: Vec::new() }
    }

    pub fn add(&mut self, name: impl Into<String>, value: f64, unit: &'static str) {
        self.figures.push(Figure { name: name.into(), value, unit });
    }

    pub fn table(&self) -> String {
        let mut out = format!("{}\n", self.what);
        for Figure { name, value, unit } in &self.figures {
            // Writing to a String can't fail.
            let _ = writeln!(out, "{name:<44} {value:>10.2} {unit}");
        }
        out
    }
}
