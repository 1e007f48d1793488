use crate::{
	faults::{of_seed, Fault, Liar, Planned},
	limits::{LENGTH, TEST_SEEDS},
	oracles::MARKER,
	run_many, run_with, shortest_failure, Length, Report, Simulation,
};
use phala_runtime::Runtime;
use std::{collections::BTreeSet, env};

/// Until the agent is born and has answered some.
const SHORT: Length = Length { busy_blocks: 36, rest_blocks: 44 };

#[test]
fn the_same_seed_makes_the_same_trace_and_another_seed_another() {
	let seed = (1..).find(|seed| of_seed(*seed).len() > 4).expect("there are many seeds");
	let run = |seed| run_with(seed, SHORT, of_seed(seed));
	let (first, again, other) = (run(seed), run(seed), run(seed + 1));
	assert_eq!(first.violation, None);
	assert_eq!((first.trace, first.counts), (again.trace, again.counts));
	assert_ne!(first.trace, other.trace);
}

fn from_environment(name: &str) -> Option<u64> {
	let value = env::var(name).ok()?;
	Some(value.parse().unwrap_or_else(|_| panic!("{name} is {value:?}, and must be a number")))
}

/// `make simulate` says which seeds; without, those of `make test`.
#[test]
fn whatever_goes_wrong_all_holds_that_must() {
	let first = from_environment("PHALA_SIMULATION_SEED").unwrap_or(1);
	let seeds = from_environment("PHALA_SIMULATION_SEEDS").unwrap_or(TEST_SEEDS);
	let mut failed = BTreeSet::new();
	let Report { seconds, counts } = run_many(first..first + seeds, LENGTH, None, |outcome| {
		if let Some(violation) = &outcome.violation {
			println!("seed {} fails: {violation}", outcome.seed);
			failed.insert(outcome.seed);
		}
	});
	println!("{counts:#?}");
	println!("{seeds} seeds in {seconds:.1} s: {:.2} seeds/s", seeds as f64 / seconds);
	for seed in &failed {
		let (faults, violation) = shortest_failure(*seed, LENGTH);
		println!("seed {seed} still fails with these {} faults: {violation}", faults.len());
		for fault in faults {
			println!("  {fault}");
		}
	}
	assert!(failed.is_empty(), "seeds {failed:?} fail: see above with which faults");
	if seeds < TEST_SEEDS {
		return;
	}
	if seeds > TEST_SEEDS {
		finality_stalls_for_two_days();
	}
	// A network in which nothing happens holds everything.
	for (what, count) in [
		("settled", counts.settled),
		("failed", counts.failed),
		("refunded", counts.refunded),
		("expired", counts.expired),
		("writes answered", counts.writes_answered),
		("reads answered", counts.reads_answered),
		("lies refused", counts.lies_refused),
		("moved of leases", counts.lease_moves),
		("delisted", counts.delistings),
		("upgraded", counts.upgrades),
	] {
		assert!(count > 0, "nothing was {what}: {counts:?}");
	}
	assert!(counts.boots > seeds * u64::from(crate::limits::WORKERS), "{counts:?}");
	assert!(counts.lost * 4 < seeds, "most states survive: {counts:?}");
}

/// Two days without finality, with blocks now and then: longer than evidence counts, and than any view is
/// fresh. Too long for `make test`.
fn finality_stalls_for_two_days() {
	const MS: u64 = 2 * 24 * 60 * 60 * 1_000;
	// A session is in each bunch of blocks, not in each block.
	const MADE: u64 = 15;
	const SLOTS: u64 = 1_200;
	let sparse = Fault::SparseBlocks { made: MADE, slots: SLOTS, ms: MS };
	let faults = [Fault::StalledFinality { ms: MS }, sparse]
		.map(|fault| Planned { after_ms: 20_000, fault });
	let blocks = (MS / crate::limits::BLOCK_MS * MADE / SLOTS) as u32;
	assert!(blocks > crate::limits::EVIDENCE_BLOCKS, "evidence expires");
	let length = Length { busy_blocks: blocks + 100, ..LENGTH };
	let outcome = run_with(11, length, faults.into());
	assert_eq!(outcome.violation, None, "{:?}", outcome.counts);
}

/// By this block some requests were answered.
const BEGUN: u32 = 44;

/// A run that has come so far that there is something to harm.
fn begun() -> Simulation {
	let mut simulation = Simulation::new(3, SHORT, Vec::new());
	simulation.run_until(BEGUN);
	assert_eq!(simulation.violations(), [""; 0]);
	simulation
}

fn found(simulation: &Simulation) -> String {
	simulation.violations().concat()
}

#[test]
fn a_shell_that_leaks_is_found() {
	let mut simulation = begun();
	simulation.leaves("log", &[b"an error about ", MARKER].concat());
	assert!(found(&simulation).contains("plaintext leaves as log"), "{}", found(&simulation));
}

#[test]
fn a_forger_of_a_planck_is_found_in_the_next_block() {
	let mut simulation = begun();
	let account = simulation.operators.root.id.clone();
	simulation.chain.change(|| {
		frame_system::Account::<Runtime>::mutate(account, |account| account.data.free += 1);
	});
	simulation.run_until(BEGUN + 1);
	assert!(found(&simulation).contains("sum over all accounts"), "{}", found(&simulation));
}

#[test]
fn a_chain_that_pays_twice_is_found() {
	let mut simulation = begun();
	let request = simulation.chain.read(|| {
		pallet_requests::Requests::<Runtime>::iter()
			.find(|(_, one)| !matches!(one.state, phala_protocol::requests::RequestState::Open))
			.map(|(request, _)| request)
	});
	let request = request.expect("one was settled by then");
	let event =
		pallet_requests::Event::RequestRefunded { request, agent: Default::default(), refunded: 1 };
	let refused = simulation.observe_event(&phala_runtime::RuntimeEvent::Requests(event));
	assert!(refused.is_err_and(|found| found.contains("and was Some(Settled)")));
}

#[test]
fn a_boot_that_is_over_and_still_counts_is_found() {
	let mut simulation = begun();
	let event = pallet_mailbox::Event::EnvelopeAccepted {
		worker: 1,
		boot: 0,
		lane: phala_protocol::mailbox::Lane::Rest,
		seq: 0,
	};
	let refused = simulation.observe_event(&phala_runtime::RuntimeEvent::Mailbox(event));
	assert!(refused.is_err_and(|found| found.contains("is its newest")));
}

/// One seed that lies to a member from its birth on is refused again and again, and serves.
#[test]
fn what_forgers_bring_is_refused_by_name() {
	for is in [Liar::HeaderForger, Liar::JustificationForger, Liar::StateForger, Liar::BodyForger] {
		let fault = Fault::LyingRelayer { worker: 1, is, ms: 30_000 };
		let outcome = run_with(5, SHORT, vec![Planned { after_ms: 0, fault }]);
		assert_eq!(outcome.violation, None, "{is:?}");
		assert!(outcome.counts.lies_refused > 0, "{is:?}: {:?}", outcome.counts);
	}
}

fn after_each(ms: &[u64], fault: &Fault) -> Vec<Planned> {
	ms.iter().map(|after_ms| Planned { after_ms: *after_ms, fault: fault.clone() }).collect()
}

#[test]
fn members_that_all_die_at_once_again_and_again_have_every_committed_write() {
	for seed in 1..4 {
		let faults = after_each(&[9_000, 21_000, 22_500, 47_000], &Fault::AllCrash);
		let outcome = run_with(seed, LENGTH, faults);
		assert_eq!(outcome.violation, None, "seed {seed}");
		assert_eq!(outcome.counts.lost, 0, "seed {seed}");
		assert!(outcome.counts.writes_answered > 0, "seed {seed}: {:?}", outcome.counts);
	}
}

#[test]
fn a_disk_that_is_lost_or_older_costs_nothing_while_the_others_have_theirs() {
	for (seed, fault) in [(5, Fault::LostDisk { worker: 2 }), (6, Fault::OlderDisk { worker: 2 })] {
		let mut faults = after_each(&[15_000, 40_000], &fault);
		faults.extend(after_each(&[20_000, 41_000], &Fault::AllCrash));
		faults.sort_by_key(|planned| planned.after_ms);
		let outcome = run_with(seed, LENGTH, faults);
		assert_eq!(outcome.violation, None, "{fault:?}");
		assert_eq!(outcome.counts.lost, 0, "{fault:?}");
	}
}
