//! ORDER-1 and PAY-1 as a model: a shopper, the order's sagas and a payment, in any interleaving, with steps that are repeated because their
//! answer was lost. Once the sagas have run to their end the order is final, and the money is where the order says.

use super::*;

/// Where the money is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Money {
    Nowhere,
    Held,
    Taken,
    GivenBack,
}

/// The next step of the order's saga, as the workflow has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Authorize,
    Pivot,
    Capture,
    Confirm,
    Ship,
    Void,
    Cancel,
    Ended,
}

#[derive(Debug)]
struct World {
    order: Order,
    money: Money,
    card_is_good: bool,
    hold_lasts: bool,
    next: Next,
    captures: u32,
    refunds: u32,
    /// What the shopper was told.
    cancel_granted: bool,
    return_granted: bool,
}

#[derive(Debug, Clone, Copy)]
enum Event {
    /// The shopper cancels, perhaps again.
    Cancel,
    /// The shopper returns it, perhaps again.
    Return,
    /// The saga takes a step; its answer arrives.
    Step,
    /// The saga takes a step; its answer is lost, so that the step is taken again.
    LostStep,
    /// A step of long ago is delivered once more.
    Late(usize),
    /// The return's saga runs, and perhaps only its first step.
    Refund { dies: bool },
}

fn events() -> impl Strategy<Value = Event> {
    prop_oneof![
        1 => Just(Event::Cancel),
        1 => Just(Event::Return),
        4 => Just(Event::Step),
        2 => Just(Event::LostStep),
        1 => (0usize..3).prop_map(Event::Late),
        1 => any::<bool>().prop_map(|dies| Event::Refund { dies }),
    ]
}

impl World {
    fn apply(&mut self, command: Command) -> Result<(), Refusal> {
        if let Some(next) = decide(&self.order, command)? {
            self.order = next;
        }
        Ok(())
    }

    /// Does the next step and says what comes after it.
    fn step(&mut self) -> Next {
        match self.next {
            Next::Authorize if self.order.course == Course::Cancelling || !self.card_is_good => Next::Void,
            Next::Authorize => {
                if self.money == Money::Nowhere {
                    self.money = Money::Held;
                }
                Next::Pivot
            }
            Next::Pivot => match self.apply(Command::PassPivot) {
                Ok(()) => Next::Capture,
                Err(Refusal::CancelRequested) => Next::Void,
                Err(refusal) => panic!("{refusal} at the pivot"),
            },
            Next::Capture if !self.hold_lasts => Next::Void,
            Next::Capture => {
                if self.money == Money::Held {
                    (self.money, self.captures) = (Money::Taken, self.captures + 1);
                }
                Next::Confirm
            }
            Next::Confirm => self.apply(Command::Confirm).map(|()| Next::Ship).unwrap(),
            Next::Ship => self.apply(Command::Ship).map(|()| Next::Ended).unwrap(),
            Next::Void => {
                assert_ne!(self.money, Money::Taken, "what is taken is not voided");
                self.money = Money::Nowhere;
                Next::Cancel
            }
            Next::Cancel => self.apply(Command::Cancel { reason: "X".to_owned() }).map(|()| Next::Ended).unwrap(),
            Next::Ended => Next::Ended,
        }
    }

    fn refund(&mut self, dies: bool) {
        if self.order.course != Course::Returning {
            return;
        }
        if self.money == Money::Taken {
            (self.money, self.refunds) = (Money::GivenBack, self.refunds + 1);
        }
        if !dies {
            self.apply(Command::Return).unwrap();
        }
    }

    fn see(&mut self, event: Event) {
        match event {
            Event::Cancel => self.cancel_granted |= self.apply(Command::RequestCancel).is_ok(),
            Event::Return => self.return_granted |= self.apply(Command::RequestReturn).is_ok(),
            Event::Step => self.next = self.step(),
            Event::LostStep => drop(self.step()),
            Event::Late(which) => {
                let late = [Command::PassPivot, Command::Confirm, Command::Ship];
                // Only what was sent once can come late.
                let sent = [Next::Confirm, Next::Ship, Next::Ended];
                if self.next == sent[which] && self.order.state != State::Cancelled {
                    self.apply(late[which].clone()).unwrap();
                }
            }
            Event::Refund { dies } => self.refund(dies),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn every_interleaving_ends_final_with_the_money_where_the_order_says(
        events in prop::collection::vec(events(), 0..30),
        card_is_good in prop::bool::weighted(0.9),
        hold_lasts in prop::bool::weighted(0.9),
    ) {
        let (money, next) = (Money::Nowhere, Next::Authorize);
        let (captures, refunds, cancel_granted, return_granted) = (0, 0, false, false);
        let mut world = World { order: order(), money, card_is_good, hold_lasts, next, captures, refunds, cancel_granted, return_granted };
        for event in events {
            world.see(event);
        }
        // Whatever died is started again: the sweeper.
        while world.next != Next::Ended {
            world.next = world.step();
        }
        world.refund(false);

        let expected = match world.order.state {
            State::Shipped => Money::Taken,
            State::Returned => Money::GivenBack,
            State::Cancelled => Money::Nowhere,
            State::Placed | State::Confirmed => panic!("not final: {world:?}"),
        };
        prop_assert_eq!(world.money, expected, "{:?}", world);
        prop_assert!(world.captures <= 1 && world.refunds <= 1, "{:?}", world);
        prop_assert!(!world.cancel_granted || world.order.state == State::Cancelled, "a granted cancel is kept: {:?}", world);
        prop_assert!(!world.return_granted || world.order.state == State::Returned, "a granted return is kept: {:?}", world);
    }
}
