//! That nobody has the chain keep what is not paid for: the table of decision 021 is of this runtime.

use super::genesis;
use crate::AllPalletsWithSystem;
use frame_support::traits::StorageInfoTrait;
use std::collections::BTreeSet;

const TABLE: &str = include_str!("../../../../docs/decisions/021-what-is-stored-is-paid-for.md");

const OURS: [&str; 7] =
	["Agents", "Bonding", "Clusters", "Gatekeepers", "Mailbox", "Registry", "Requests"];

/// `Pallet.Map` of each line of the table, with how what makes it grow is paid for.
fn lines() -> Vec<(&'static str, &'static str)> {
	TABLE
		.lines()
		.filter_map(|line| {
			let mut cells = line.strip_prefix("| `")?.split(" | ");
			let map = cells.next()?.strip_suffix('`')?;
			Some((map, cells.nth(1)?.trim_end_matches(" |")))
		})
		.collect()
}

#[test]
fn each_map_of_our_pallets_is_in_the_table_of_what_is_stored_and_bounds_its_values() {
	genesis("development").execute_with(|| {
		let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
		let stored = AllPalletsWithSystem::storage_info();
		let ours = || {
			stored
				.iter()
				.filter(|one| OURS.iter().any(|pallet| pallet.as_bytes() == one.pallet_name))
		};
		let unbounded: Vec<_> = ours().filter(|one| one.max_size.is_none()).collect();
		assert!(unbounded.is_empty(), "{unbounded:?}");
		let maps: BTreeSet<String> = ours()
			.filter(|one| one.max_values != Some(1))
			.map(|one| format!("{}.{}", text(&one.pallet_name), text(&one.storage_name)))
			// How many there are of a counted map.
			.filter(|map| !map.ends_with(".CounterForOpenRequests"))
			.collect();
		assert!(maps.len() > 50, "{maps:?}");
		let listed: Vec<&str> = lines().into_iter().map(|(map, _)| map).collect();
		let of_table: BTreeSet<String> = listed.iter().map(|map| map.to_string()).collect();
		assert_eq!(listed.len(), of_table.len(), "a map has one line");
		let missing: Vec<_> = maps.difference(&of_table).collect();
		let gone: Vec<_> = of_table.difference(&maps).collect();
		assert!(missing.is_empty() && gone.is_empty(), "missing: {missing:?}; gone: {gone:?}");
	});
}

#[test]
fn each_line_says_how_it_is_paid_for() {
	const WAYS: [&str; 7] = [
		"held for",
		"bounded",
		"for a time",
		"for one block",
		"a vote",
		"a stake",
		"never forgotten",
	];
	for (map, why) in lines() {
		assert!(WAYS.iter().any(|way| why.starts_with(way)), "{map}: {why}");
	}
}
