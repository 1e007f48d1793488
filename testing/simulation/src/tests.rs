use crate::{Length, Simulation};

const LENGTH: Length = Length { busy_blocks: 60, rest_blocks: 50 };

#[test]
fn the_same_seed_makes_the_same_trace_and_another_seed_another() {
	let run = |seed| Simulation::new(seed, LENGTH, Vec::new()).run();
	let started = std::time::Instant::now();
	let (first, again, other) = (run(1), run(1), run(2));
	println!("{first:?} {:?}", started.elapsed());
	assert_eq!(first.violation, None);
	assert_eq!((first.trace, first.counts), (again.trace, again.counts));
	assert_ne!(first.trace, other.trace);
}
