//! A planted failure in a turn.

use super::*;
use crate::executor::testing;
use phala_machine::MachineError;
use phala_protocol::refusals::Refusal;

/// What makes the machine fail: an operator that is all ones.
const PANICS: [u8; 32] = [0xff; 32];

fn planted(
	machine: &mut Machine,
	event: Event,
	now: Instant,
	rng: &mut ChaCha20Rng,
) -> Vec<Action> {
	let fails = matches!(&event, Event::RegistrationAsked { operator, .. } if *operator == PANICS);
	let actions = machine.handle(event, now, rng);
	assert!(!fails, "planted");
	actions
}

fn turns() -> Turns {
	let executor = testing::executor();
	Turns { machine: testing::machine(), executor, recording: None, handle: planted }
}

#[tokio::test]
async fn a_failure_in_a_turn_is_survived_and_whoever_waited_is_told() {
	let mut turns = turns();
	let keys = turns.machine.public_keys();
	let (id, waiting) = turns.executor.0.callers.wait();
	turns.turn(Event::RegistrationAsked { reply: id, operator: PANICS });
	assert!(waiting.await.is_err(), "the server makes `Interrupted` of it");
	assert_eq!(turns.machine.public_keys(), keys);
	assert!(turns.executor.snapshot().suspended.is_none());

	// Others go on.
	let (id, waiting) = turns.executor.0.callers.wait();
	turns.turn(Event::RegistrationAsked { reply: id, operator: [1; 32] });
	let refused = waiting.await.unwrap().unwrap_err();
	assert!(matches!(refused, MachineError::WrongPhase { .. }), "{refused}");
}

#[tokio::test]
async fn many_failures_suspend_the_boot_by_name_and_never_loop() {
	let mut turns = turns();
	for _ in 0..=phala_machine::limits::REBUILDS_MAX {
		let (id, _) = turns.executor.0.callers.wait();
		turns.turn(Event::RegistrationAsked { reply: id, operator: PANICS });
	}
	let suspended = turns.executor.snapshot().suspended.clone();
	assert_eq!(suspended.map(|refused| refused.refusal()), Some(Refusal::Suspended));
	assert_eq!(turns.machine.next_deadline(), None);
	let (id, waiting) = turns.executor.0.callers.wait();
	turns.turn(Event::RegistrationAsked { reply: id, operator: [1; 32] });
	assert_eq!(waiting.await.unwrap().unwrap_err().refusal(), Refusal::Suspended);
}
