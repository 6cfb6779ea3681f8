//! What runs may use up: time, tokens, money, pushes. Every number is a named constant with its unit and its why.
//!
//! None is no limit, zero is nothing at all. Knows what a token costs only where the operator says so; who has used up
//! what, and what follows from it, is `decide::budget`.

use super::Usage;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Limits in time, tokens and money, beside those of a single turn.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Budget {
    /// Time in which agents work on one work item, all its turns and runs together.
    pub item_time: Option<Duration>,
    /// Tokens of one work item that are paid in full.
    pub item_tokens: Option<u64>,
    /// Micro US dollars of one work item.
    pub item_cost: Option<u64>,
    /// Micro US dollars of one run since checks last passed on its work, or a person let it go on.
    pub unaccepted_cost: Option<u64>,
    /// Tokens of all runs in one UTC day.
    pub day_tokens: Option<u64>,
    /// Micro US dollars of all runs in one UTC day.
    pub day_cost: Option<u64>,
    /// Pushes to one pull request, since a person last let its run go on.
    pub pushes: u32,
    /// What tokens cost, where an agent does not tell.
    pub prices: Option<Prices>,
    /// Whether the operator chose one of the limits in money, whatever amount it is.
    #[serde(default)]
    pub chooses_money: bool,
}

/// Ten turns at their limit of 45 minutes; whoever needs more works in circles.
pub const ITEM_TIME: Duration = Duration::from_hours(8);
/// Three turns at their limit of 20 million.
pub const ITEM_TOKENS: u64 = 60_000_000;
/// 60 US dollars: three turns at their limit, or a dozen expensive honest ones.
pub const ITEM_COST: u64 = 60_000_000;
/// 40 US dollars: two turns that were cut at their limit, and still nothing that passes.
pub const UNACCEPTED_COST: u64 = 40_000_000;
/// Five work items that use up all theirs; more in one day is a mistake that should wait for a person.
pub const DAY_TOKENS: u64 = 300_000_000;
/// 200 US dollars: what a team may find on Monday without having been asked.
pub const DAY_COST: u64 = 200_000_000;
/// More than all turns that can push (1 + 5 + 5 + 2): reviewers and pipelines are told about each.
pub const PUSHES: u32 = 15;

impl Default for Budget {
    fn default() -> Self {
        Self {
            item_time: Some(ITEM_TIME),
            item_tokens: Some(ITEM_TOKENS),
            item_cost: Some(ITEM_COST),
            unaccepted_cost: Some(UNACCEPTED_COST),
            day_tokens: Some(DAY_TOKENS),
            day_cost: Some(DAY_COST),
            pushes: PUSHES,
            prices: None,
            chooses_money: false,
        }
    }
}

impl Budget {
    /// Whether somebody chose how much money may be spent: then a price that nobody knows is an error. The same amounts
    /// as a mere default bind where a price is known; agents that tell none are bound by time and tokens.
    pub fn caps_money(&self) -> bool {
        let caps = [self.item_cost, self.unaccepted_cost, self.day_cost];
        self.chooses_money && caps.iter().any(Option::is_some)
    }

    /// Micro US dollars of `usage`: as the agent told, else by the operator's prices; none when nobody knows.
    pub fn cost(&self, usage: &Usage) -> Option<u64> {
        if !usage.has_tokens() {
            return Some(usage.cost_micro_usd.unwrap_or(0));
        }
        usage.cost_micro_usd.or_else(|| self.prices.map(|prices| prices.of(usage)))
    }
}

/// Micro US dollars of a million tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prices {
    /// Sent.
    pub input: u64,
    /// Sent, and read from the provider's cache.
    pub cached: u64,
    /// Answered, reasoning included.
    pub output: u64,
}

impl Prices {
    /// What `usage` costs, rounded up: nothing that was used is free.
    pub fn of(&self, usage: &Usage) -> u64 {
        /// Tokens that a price is for.
        const PER: u128 = 1_000_000;
        let part = |tokens: u64, price: u64| u128::from(tokens) * u128::from(price);
        let written = usage.output_tokens.saturating_add(usage.reasoning_tokens);
        let sum = part(usage.input_tokens, self.input)
            + part(usage.cached_tokens, self.cached)
            + part(written, self.output);
        u64::try_from(sum.div_ceil(PER)).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prices_stand_in_only_where_the_agent_tells_none() {
        let prices = Prices { input: 3_000_000, cached: 300_000, output: 15_000_000 };
        let budget = Budget { prices: Some(prices), ..Budget::default() };
        let used = Usage {
            input_tokens: 1_000_000,
            cached_tokens: 1_000_000,
            output_tokens: 50_000,
            reasoning_tokens: 50_000,
            ..Usage::default()
        };
        assert_eq!(budget.cost(&used), Some(4_800_000));
        assert_eq!(budget.cost(&Usage { cost_micro_usd: Some(7), ..used }), Some(7));
        assert_eq!(Budget::default().cost(&used), None, "unknown, and not zero");
        assert_eq!(Budget::default().cost(&Usage { calls: 3, ..Usage::default() }), Some(0));
        assert_eq!(prices.of(&Usage { input_tokens: 1, ..Usage::default() }), 3);
        assert_eq!(prices.of(&Usage { input_tokens: u64::MAX, ..Usage::default() }), u64::MAX);
    }
}
