//! What an agent used up: calls, steps, tokens, money. A claim of the agent's own stream, good enough to cap and to show.
//!
//! An unknown price is unknown, never zero. Knows nothing about prices: the agent multiplies, we add.

use serde::{Deserialize, Serialize};
use std::{fmt, ops::Add};

/// Micro US dollars in a US dollar.
const MICRO: u64 = 1_000_000;

/// What was used up. All counts are sums; absent fields of older records are zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Usage {
    /// Times that the agent's program was started.
    pub calls: u32,
    /// Answers of the model.
    pub steps: u32,
    /// Tokens sent and not read from the provider's cache; those written to it included.
    pub input_tokens: u64,
    /// Tokens sent and read from the provider's cache.
    pub cached_tokens: u64,
    /// Tokens of the model's answers, without reasoning.
    pub output_tokens: u64,
    /// Tokens of the model's reasoning.
    pub reasoning_tokens: u64,
    /// Micro US dollars; none when the price of any part is unknown.
    pub cost_micro_usd: Option<u64>,
    /// Wall clock of the agent's steps, its checks included, as the worker measured it.
    #[serde(skip_serializing_if = "is_zero")]
    pub seconds: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_zero(seconds: &u64) -> bool {
    *seconds == 0
}

impl Usage {
    /// Tokens that are paid in full: everything but reads of the cache.
    pub fn fresh_tokens(&self) -> u64 {
        self.input_tokens.saturating_add(self.output_tokens).saturating_add(self.reasoning_tokens)
    }

    /// Whether nothing at all was counted.
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }

    /// Whether the model took part at all.
    pub fn has_tokens(&self) -> bool {
        self.fresh_tokens() > 0 || self.cached_tokens > 0
    }

    /// Nothing used costs nothing, whatever its price.
    fn price(&self) -> Option<u64> {
        if self.has_tokens() { self.cost_micro_usd } else { Some(0) }
    }

    /// This with the tokens since `before` only, where a program counts those of a whole session and not of one call.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        let cost = match (self.price(), before.price()) {
            (Some(now), Some(then)) => Some(now.saturating_sub(then)),
            (Some(_), None) | (None, Some(_) | None) => None,
        };
        Self {
            calls: self.calls,
            steps: self.steps,
            input_tokens: self.input_tokens.saturating_sub(before.input_tokens),
            cached_tokens: self.cached_tokens.saturating_sub(before.cached_tokens),
            output_tokens: self.output_tokens.saturating_sub(before.output_tokens),
            reasoning_tokens: self.reasoning_tokens.saturating_sub(before.reasoning_tokens),
            cost_micro_usd: cost,
            seconds: self.seconds,
        }
    }
}

impl Add for Usage {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        let cost = match (self.price(), other.price()) {
            (Some(a), Some(b)) => Some(a.saturating_add(b)),
            (Some(_), None) | (None, Some(_) | None) => None,
        };
        let sum = Self {
            calls: self.calls.saturating_add(other.calls),
            steps: self.steps.saturating_add(other.steps),
            input_tokens: self.input_tokens.saturating_add(other.input_tokens),
            cached_tokens: self.cached_tokens.saturating_add(other.cached_tokens),
            output_tokens: self.output_tokens.saturating_add(other.output_tokens),
            reasoning_tokens: self.reasoning_tokens.saturating_add(other.reasoning_tokens),
            cost_micro_usd: None,
            seconds: self.seconds.saturating_add(other.seconds),
        };
        Self { cost_micro_usd: cost.filter(|_| sum.has_tokens()), ..sum }
    }
}

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let noun = if self.calls == 1 { "call" } else { "calls" };
        write!(f, "{} {noun}", self.calls)?;
        if !self.has_tokens() {
            return f.write_str(", tokens unknown");
        }
        let written = self.output_tokens.saturating_add(self.reasoning_tokens);
        write!(f, ", {} tokens in (+ {} cached), {written} out", self.input_tokens, self.cached_tokens)?;
        match self.cost_micro_usd {
            Some(cost) => {
                // Hundredths of a cent are noise.
                let cents = cost.saturating_add(MICRO / 200) * 100 / MICRO;
                write!(f, ", {}.{:02} USD", cents / 100, cents % 100)
            }
            None => f.write_str(", price unknown"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn used(tokens: u64, cost: Option<u64>) -> Usage {
        Usage { calls: 1, steps: 1, input_tokens: tokens, cost_micro_usd: cost, ..Usage::default() }
    }

    #[test]
    fn an_unknown_price_stays_unknown_and_nothing_costs_nothing() {
        assert_eq!((used(5, Some(10)) + used(7, Some(20))).cost_micro_usd, Some(30));
        assert_eq!((used(5, Some(10)) + used(7, None)).cost_micro_usd, None);
        assert_eq!((used(5, Some(10)) + used(0, None)).cost_micro_usd, Some(10));
        assert_eq!((Usage::default() + used(5, Some(10))).cost_micro_usd, Some(10));
        assert_eq!((used(9, Some(30)).since(&used(5, Some(10)))).cost_micro_usd, Some(20));
        assert_eq!(used(9, Some(30)).since(&Usage::default()).cost_micro_usd, Some(30));
    }

    #[test]
    fn people_read_one_line() {
        let usage =
            Usage { cached_tokens: 300, output_tokens: 40, reasoning_tokens: 2, ..used(1000, Some(2_835)) };
        assert_eq!(usage.to_string(), "1 call, 1000 tokens in (+ 300 cached), 42 out, 0.00 USD");
        assert_eq!(used(1, Some(1_999_999)).to_string(), "1 call, 1 tokens in (+ 0 cached), 0 out, 2.00 USD");
        assert_eq!(used(1, None).to_string(), "1 call, 1 tokens in (+ 0 cached), 0 out, price unknown");
        assert_eq!(used(0, None).to_string(), "1 call, tokens unknown");
    }
}
