//! The query language, as far as flat queries over current items go: a parser and an evaluator.
//!
//! It knows comparisons, lists, tags, trees, dates, macros, grouping and sorting. Link queries, `EVER`, `ASOF` and full
//! text are refused by name: an emulator that guesses would teach a client wrong things.

use super::{
    state::{
        World,
        fields::{Kind, field},
        work_items::WorkItem,
    },
    wire::Problem,
};
use jiff::{Timestamp, ToSpan as _, tz::TimeZone};
use serde_json::Value;
use std::cmp::Ordering;

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Word(String),
    Field(String),
    Text(String),
    Number(f64),
    Sign(&'static str),
}

#[derive(Clone, Debug)]
enum Condition {
    All(Vec<Condition>),
    Any(Vec<Condition>),
    Not(Box<Condition>),
    Compare { field: String, kind: Kind, operator: &'static str, values: Vec<Operand> },
}

#[derive(Clone, Debug)]
enum Operand {
    Text(String),
    Number(f64),
    Date(Timestamp, bool),
    OtherField(String),
}

/// A parsed query.
#[derive(Clone, Debug)]
pub(crate) struct Query {
    pub(crate) columns: Vec<String>,
    condition: Option<Condition>,
    pub(crate) order: Vec<(String, bool)>,
}

/// What the macros of a query stand for.
pub(crate) struct Context<'a> {
    pub(crate) project: Option<&'a str>,
    pub(crate) me: &'a str,
    pub(crate) now: Timestamp,
    pub(crate) time_precision: bool,
}

fn bad(code: &str, text: impl std::fmt::Display) -> Problem {
    Problem::new(400, "WorkItemTrackingQuerySyntaxException", format!("{code}: {text}"))
}

/// Real syntax that this emulator does not play; never a silent wrong answer.
fn unsupported(what: &str) -> Problem {
    Problem::new(
        400,
        "WorkItemTrackingQuerySyntaxException",
        format!("The emulator does not support {what} in a query."),
    )
}

pub(crate) fn is_unsupported(problem: &Problem) -> bool {
    problem.message.starts_with("The emulator does not support")
}

fn tokens(text: &str) -> Result<Vec<Token>, Problem> {
    let mut found = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let taken = match first {
            '[' => {
                let end = rest.find(']').ok_or_else(|| bad("TF51006", "The query has an unclosed '['."))?;
                found.push(Token::Field(rest[1..end].trim().to_owned()));
                end + 1
            }
            '\'' | '"' => {
                let mut value = String::new();
                let mut at = 1;
                loop {
                    let end = rest[at..]
                        .find(first)
                        .ok_or_else(|| bad("TF51006", "The query has an unclosed string."))?;
                    value.push_str(&rest[at..at + end]);
                    at += end + 1;
                    if !rest[at..].starts_with(first) {
                        break;
                    }
                    value.push(first);
                    at += 1;
                }
                found.push(Token::Text(value));
                at
            }
            _ => {
                let signs = ["<>", "<=", ">=", "=", "<", ">", "(", ")", ",", "+", "*", "."];
                if let Some(sign) = signs.into_iter().find(|sign| rest.starts_with(sign)) {
                    found.push(Token::Sign(sign));
                    sign.len()
                } else if first.is_ascii_digit()
                    || (first == '-' && rest[1..].starts_with(|c: char| c.is_ascii_digit()))
                {
                    let end = rest[1..]
                        .find(|c: char| !c.is_ascii_digit() && c != '.')
                        .map_or(rest.len(), |end| end + 1);
                    let number = rest[..end]
                        .parse()
                        .map_err(|_| bad("TF51006", format!("'{}' is no number.", &rest[..end])))?;
                    found.push(Token::Number(number));
                    end
                } else if first == '-' {
                    found.push(Token::Sign("-"));
                    1
                } else if first.is_alphabetic() || first == '@' || first == '_' {
                    let word = |c: char| !(c.is_alphanumeric() || c == '_' || c == '.' || c == '@');
                    let end = rest.find(word).unwrap_or(rest.len());
                    found.push(Token::Word(rest[..end].to_owned()));
                    end
                } else {
                    return Err(bad("TF51006", format!("The query statement has an unexpected '{first}'.")));
                }
            }
        };
        rest = rest[taken..].trim_start();
    }
    Ok(found)
}

struct Parser<'a> {
    tokens: Vec<Token>,
    at: usize,
    context: &'a Context<'a>,
}

pub(crate) fn parse(text: &str, context: &Context<'_>) -> Result<Query, Problem> {
    if text.chars().count() > 32_000 {
        return Err(bad("VS402336", "The query is longer than 32000 characters."));
    }
    let mut parser = Parser { tokens: tokens(text)?, at: 0, context };
    parser.expect("SELECT")?;
    let mut columns = Vec::new();
    loop {
        columns.push(parser.field()?.0);
        if !parser.sign(",") {
            break;
        }
    }
    parser.expect("FROM")?;
    match parser.next() {
        Some(Token::Word(word)) if word.eq_ignore_ascii_case("workitems") => {}
        Some(Token::Word(word)) if word.eq_ignore_ascii_case("workitemlinks") => {
            return Err(unsupported("FROM WorkItemLinks"));
        }
        other => return Err(bad("TF51006", format!("Expecting WorkItems, found {other:?}."))),
    }
    let condition = if parser.word("WHERE") { Some(parser.any()?) } else { None };
    let mut order = Vec::new();
    if parser.word("ORDER") {
        parser.expect("BY")?;
        loop {
            let (name, ..) = parser.field()?;
            let down = parser.word("DESC") || {
                parser.word("ASC");
                false
            };
            order.push((name, down));
            if !parser.sign(",") {
                break;
            }
        }
    }
    for word in ["ASOF", "MODE", "GROUP"] {
        if parser.word(word) {
            return Err(unsupported(word));
        }
    }
    if let Some(extra) = parser.next() {
        return Err(bad("TF51006", format!("The query statement is not valid near {extra:?}.")));
    }
    Ok(Query { columns, condition, order })
}

impl Parser<'_> {
    fn next(&mut self) -> Option<Token> {
        self.at += 1;
        self.tokens.get(self.at - 1).cloned()
    }

    fn word(&mut self, wanted: &str) -> bool {
        let hit =
            matches!(self.tokens.get(self.at), Some(Token::Word(word)) if word.eq_ignore_ascii_case(wanted));
        self.at += usize::from(hit);
        hit
    }

    fn sign(&mut self, wanted: &str) -> bool {
        let hit = matches!(self.tokens.get(self.at), Some(Token::Sign(sign)) if *sign == wanted);
        self.at += usize::from(hit);
        hit
    }

    fn expect(&mut self, wanted: &str) -> Result<(), Problem> {
        if self.word(wanted) {
            return Ok(());
        }
        let found = self.tokens.get(self.at);
        Err(bad("TF51006", format!("The query statement is missing {wanted}; found {found:?}.")))
    }

    fn field(&mut self) -> Result<(String, Kind), Problem> {
        let name = match self.next() {
            Some(Token::Field(name) | Token::Word(name)) => name,
            other => return Err(bad("TF51006", format!("A field is expected; found {other:?}."))),
        };
        field(&name).map(|(reference, kind, _)| (reference, kind)).ok_or_else(|| {
            bad(
                "TF51005",
                format!(
                    "The query references a field that does not exist. The error is caused by «[{name}]»."
                ),
            )
        })
    }

    fn any(&mut self) -> Result<Condition, Problem> {
        let mut parts = vec![self.all()?];
        while self.word("OR") {
            parts.push(self.all()?);
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { Condition::Any(parts) })
    }

    fn all(&mut self) -> Result<Condition, Problem> {
        let mut parts = vec![self.one()?];
        while self.word("AND") {
            parts.push(self.one()?);
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { Condition::All(parts) })
    }

    fn one(&mut self) -> Result<Condition, Problem> {
        if self.word("NOT") {
            return Ok(Condition::Not(Box::new(self.one()?)));
        }
        if self.word("EVER") {
            return Err(unsupported("EVER"));
        }
        if self.sign("(") {
            let inner = self.any()?;
            if !self.sign(")") {
                return Err(bad("TF51006", "The query statement is missing a closing parenthesis."));
            }
            return Ok(inner);
        }
        let (name, kind) = self.field()?;
        let negated = self.word("NOT");
        let operator = match self.next() {
            Some(Token::Sign(sign @ ("=" | "<>" | "<" | ">" | "<=" | ">="))) if !negated => sign,
            Some(Token::Word(word)) => match word.to_ascii_uppercase().as_str() {
                "IN" => "IN",
                "CONTAINS" if self.word("WORDS") => return Err(unsupported("CONTAINS WORDS")),
                "CONTAINS" => "CONTAINS",
                "UNDER" => "UNDER",
                "EVER" => return Err(unsupported("EVER")),
                other => {
                    return Err(bad(
                        "TF51006",
                        format!("'{other}' is not an operator of the query language."),
                    ));
                }
            },
            other => {
                return Err(bad(
                    "TF51006",
                    format!("An operator is expected after [{name}]; found {other:?}."),
                ));
            }
        };
        let mut values = Vec::new();
        if operator == "IN" {
            if self.word("GROUP") {
                return Err(unsupported("IN GROUP"));
            }
            if !self.sign("(") {
                return Err(bad("TF51006", "IN needs a list in parentheses."));
            }
            loop {
                values.push(self.value(kind)?);
                if !self.sign(",") {
                    break;
                }
            }
            if !self.sign(")") {
                return Err(bad("TF51006", "The list of IN is missing a closing parenthesis."));
            }
        } else {
            values.push(self.value(kind)?);
        }
        let fits = match (operator, kind) {
            ("UNDER", Kind::Tree)
            | ("CONTAINS", Kind::Text | Kind::Html | Kind::Tags | Kind::Identity | Kind::Tree) => true,
            ("UNDER" | "CONTAINS", _)
            | (_, Kind::Html)
            | ("<" | ">" | "<=" | ">=", Kind::Tags | Kind::Tree)
            | ("=" | "<>" | "IN", Kind::Tags) => false,
            _ => true,
        };
        if !fits {
            return Err(bad(
                "TF51007",
                format!("The operator {operator} cannot be applied to the field [{name}]."),
            ));
        }
        let condition = Condition::Compare { field: name, kind, operator, values };
        Ok(if negated { Condition::Not(Box::new(condition)) } else { condition })
    }

    fn value(&mut self, kind: Kind) -> Result<Operand, Problem> {
        match self.next() {
            Some(Token::Text(text)) if kind == Kind::Date => self.date(&text),
            Some(Token::Text(text)) if matches!(kind, Kind::Integer | Kind::Double) => text
                .parse()
                .map(Operand::Number)
                .map_err(|_| bad("TF51009", format!("'{text}' is not a number."))),
            Some(Token::Text(text)) => Ok(Operand::Text(text)),
            Some(Token::Number(number)) if matches!(kind, Kind::Integer | Kind::Double) => {
                Ok(Operand::Number(number))
            }
            Some(Token::Number(number)) => Ok(Operand::Text(number.to_string())),
            Some(Token::Field(name)) => {
                let (reference, ..) =
                    field(&name).ok_or_else(|| bad("TF51005", format!("No field [{name}].")))?;
                Ok(Operand::OtherField(reference))
            }
            Some(Token::Word(word)) => match word.to_ascii_lowercase().as_str() {
                "@project" => {
                    self.context.project.map(|name| Operand::Text(name.to_owned())).ok_or_else(|| {
                        bad("TF51008", "@project needs a project in the address of the request.")
                    })
                }
                "@me" => Ok(Operand::Text(self.context.me.to_owned())),
                "@today" => {
                    let days = self.offset();
                    let day = self.context.now.to_zoned(TimeZone::UTC).date();
                    let moved = day.checked_add(days.days()).unwrap_or(day);
                    let midnight = moved.to_zoned(TimeZone::UTC).map(|zoned| zoned.timestamp());
                    Ok(Operand::Date(midnight.unwrap_or(self.context.now), false))
                }
                "true" | "false" => Ok(Operand::Text(word)),
                other if other.starts_with('@') => Err(unsupported(&format!("the macro {word}"))),
                _ => Err(bad("TF51006", format!("The value {word} needs quotation marks."))),
            },
            other => Err(bad("TF51006", format!("A value is expected; found {other:?}."))),
        }
    }

    /// `- 7` and `+ 7` behind a macro.
    fn offset(&mut self) -> i64 {
        let sign = if self.sign("-") {
            -1.0
        } else if self.sign("+") {
            1.0
        } else {
            0.0
        };
        let Some(Token::Number(number)) = self.tokens.get(self.at).cloned() else { return 0 };
        self.at += 1;
        // Days are small whole numbers; `@today -7` arrives with its own sign.
        let days = if sign == 0.0 { number } else { number * sign };
        format!("{days:.0}").parse().unwrap_or(0)
    }

    fn date(&self, text: &str) -> Result<Operand, Problem> {
        let timed = text.contains('T') || text.contains(':');
        if timed && !self.context.time_precision {
            return Err(bad(
                "TF51582",
                "You cannot supply a time with the date when running a query using date precision. The error is caused by \
                 the date literal.",
            ));
        }
        let whole = if timed { text.replacen(' ', "T", 1) } else { format!("{text}T00:00:00Z") };
        let zoned = if whole.ends_with('Z') || whole.contains('+') { whole } else { format!("{whole}Z") };
        zoned
            .parse()
            .map(|date| Operand::Date(date, timed))
            .map_err(|_| bad("TF51010", format!("The date '{text}' is not valid.")))
    }
}

impl Query {
    /// The ids, sorted. A tree path that nobody made is an error, not an empty answer.
    pub(crate) fn run(&self, world: &World) -> Result<Vec<i64>, Problem> {
        if let Some(condition) = &self.condition {
            check_paths(condition, world)?;
        }
        let mut found: Vec<&WorkItem> = world
            .items
            .values()
            .map(std::convert::AsRef::as_ref)
            .filter(|item| !item.deleted && !world.knobs.unreadable_items.contains(&item.id))
            .filter(|item| self.condition.as_ref().is_none_or(|condition| holds(condition, item)))
            .collect();
        found.sort_by(|a, b| {
            for (name, down) in &self.order {
                let order = compare(value(a, name), value(b, name));
                let order = if *down { order.reverse() } else { order };
                if order != Ordering::Equal {
                    return order;
                }
            }
            a.id.cmp(&b.id)
        });
        Ok(found.into_iter().map(|item| item.id).collect())
    }
}

fn check_paths(condition: &Condition, world: &World) -> Result<(), Problem> {
    match condition {
        Condition::All(parts) | Condition::Any(parts) => {
            parts.iter().try_for_each(|part| check_paths(part, world))
        }
        Condition::Not(inner) => check_paths(inner, world),
        Condition::Compare { field, kind: Kind::Tree, values, .. } => {
            for value in values {
                let Operand::Text(path) = value else { continue };
                let known = world.projects.values().any(|project| {
                    let paths = if field == "System.AreaPath" { &project.areas } else { &project.iterations };
                    paths
                        .iter()
                        .any(|known| known.to_lowercase() == path.trim_end_matches('\\').to_lowercase())
                });
                if !known {
                    return Err(bad(
                        "TF51011",
                        format!("The specified area path does not exist. The error is caused by «'{path}'»."),
                    ));
                }
            }
            Ok(())
        }
        Condition::Compare { .. } => Ok(()),
    }
}

fn value<'a>(item: &'a WorkItem, name: &str) -> &'a Value {
    item.fields.get(name).unwrap_or(&Value::Null)
}

fn compare(a: &Value, b: &Value) -> Ordering {
    match (a.as_f64(), b.as_f64()) {
        (Some(a), Some(b)) => a.partial_cmp(&b).unwrap_or(Ordering::Equal),
        (Some(_), None) => Ordering::Greater,
        (None, Some(_)) => Ordering::Less,
        _ => plain(a).to_lowercase().cmp(&plain(b).to_lowercase()),
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Object(identity) => identity["uniqueName"].as_str().unwrap_or_default().to_owned(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

fn holds(condition: &Condition, item: &WorkItem) -> bool {
    match condition {
        Condition::All(parts) => parts.iter().all(|part| holds(part, item)),
        Condition::Any(parts) => parts.iter().any(|part| holds(part, item)),
        Condition::Not(inner) => !holds(inner, item),
        Condition::Compare { field, kind, operator, values } => {
            let have = value(item, field);
            values.iter().any(|wanted| holds_one(item, have, *kind, operator, wanted))
        }
    }
}

fn holds_one(item: &WorkItem, have: &Value, kind: Kind, operator: &str, wanted: &Operand) -> bool {
    let order = match wanted {
        Operand::OtherField(name) => compare(have, value(item, name)),
        Operand::Number(number) => match have.as_f64() {
            Some(have) => have.partial_cmp(number).unwrap_or(Ordering::Less),
            None => return operator == "<>",
        },
        Operand::Date(date, timed) => {
            let Some(have) = have.as_str().and_then(|text| text.parse::<Timestamp>().ok()) else {
                return operator == "<>";
            };
            let day = |at: Timestamp| at.to_zoned(TimeZone::UTC).date();
            if *timed { have.cmp(date) } else { day(have).cmp(&day(*date)) }
        }
        Operand::Text(text) => {
            let text = text.to_lowercase();
            let have_text = plain(have).to_lowercase();
            match (operator, kind) {
                // The whole tag, whatever its case; never a part of it.
                ("CONTAINS", Kind::Tags) => return item.tags().iter().any(|tag| tag.to_lowercase() == text),
                ("CONTAINS", Kind::Identity) => {
                    let name = have["displayName"].as_str().unwrap_or_default().to_lowercase();
                    return have_text.contains(&text) || name.contains(&text);
                }
                ("CONTAINS", _) => return have_text.contains(&text),
                ("UNDER", _) => {
                    let root = text.trim_end_matches('\\');
                    return have_text == root || have_text.starts_with(&format!("{root}\\"));
                }
                (_, Kind::Identity) => {
                    let wanted =
                        text.rsplit_once('<').map_or(text.as_str(), |(_, rest)| rest.trim_end_matches('>'));
                    let name = have["displayName"].as_str().unwrap_or_default().to_lowercase();
                    if wanted == have_text || wanted == name {
                        Ordering::Equal
                    } else {
                        have_text.as_str().cmp(wanted)
                    }
                }
                _ => have_text.cmp(&text),
            }
        }
    };
    match operator {
        "=" | "IN" => order == Ordering::Equal,
        "<>" => order != Ordering::Equal,
        "<" => order == Ordering::Less,
        "<=" => order != Ordering::Greater,
        ">" => order == Ordering::Greater,
        ">=" => order != Ordering::Less,
        _ => false,
    }
}
