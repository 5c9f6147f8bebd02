//! Retry budgets: retries are a share of what succeeds, so that callers do not finish off a dependency that is already down.
//!
//! A token bucket as in gRPC's `retryThrottling`: a failure takes a token, a success gives back a part of one, and retries are allowed while more than half
//! of the tokens are there. In a steady state there are at most `token_ratio` retries for each success; against a dependency that fails every call there are
//! `max_tokens / 2`, and then none.

/// How much may be retried.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Budgeting {
    /// Tokens of a full bucket, as in gRPC 1 to 1000.
    pub max_tokens: f64,
    /// What a success gives back.
    pub token_ratio: f64,
}

impl Default for Budgeting {
    fn default() -> Self {
        Self { max_tokens: 20.0, token_ratio: 0.1 }
    }
}

/// The tokens of one dependency.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RetryBudget {
    tokens: f64,
}

impl RetryBudget {
    /// A full bucket.
    #[must_use]
    pub fn new(budgeting: &Budgeting) -> Self {
        Self { tokens: budgeting.max_tokens }
    }

    /// Notes how a try ended. Only failures that could be retried count as such.
    pub fn note(&mut self, budgeting: &Budgeting, is_success: bool) {
        let change = if is_success { budgeting.token_ratio } else { -1.0 };
        self.tokens = (self.tokens + change).clamp(0.0, budgeting.max_tokens);
    }

    /// Whether a retry is allowed now.
    #[must_use]
    pub fn allows(&self, budgeting: &Budgeting) -> bool {
        self.tokens > budgeting.max_tokens / 2.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Whatever succeeds and fails: retries are at most half a bucket more than the share of what succeeded.
        #[test]
        fn retries_are_a_share_of_successes(ends in prop::collection::vec(any::<bool>(), 0..2000), max_tokens in 1.0f64..100.0, token_ratio in 0.01f64..1.0) {
            let budgeting = Budgeting { max_tokens, token_ratio };
            let mut budget = RetryBudget::new(&budgeting);
            let (mut retries, mut successes) = (0.0, 0.0);
            for is_success in ends {
                budget.note(&budgeting, is_success);
                successes += f64::from(u8::from(is_success));
                // Whoever fails and may, tries again; the next end is that retry's.
                retries += f64::from(u8::from(!is_success && budget.allows(&budgeting)));
                prop_assert!(retries <= max_tokens / 2.0 + token_ratio * successes + 1.0);
            }
        }
    }

    #[test]
    fn a_dead_dependency_is_not_retried_and_one_that_is_back_is_again() {
        let budgeting = Budgeting { max_tokens: 10.0, token_ratio: 0.5 };
        let mut budget = RetryBudget::new(&budgeting);
        let allowed = (0..100).filter(|_| {
            budget.note(&budgeting, false);
            budget.allows(&budgeting)
        });
        assert_eq!(allowed.count(), 4);
        (0..11).for_each(|_| budget.note(&budgeting, true));
        assert!(budget.allows(&budgeting));
    }
}
