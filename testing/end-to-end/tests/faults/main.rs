//! What goes wrong in the field: relayers lie and die, holders die and hang, members are cut off. One network,
//! one property after the other, each a function in one of these modules. What comes back after it was
//! gone is in `restarts`.
//!
//! | module | holds |
//! |---|---|
//! | [`messages`] | a message travels, proven both ways, whatever dies on the way |
//! | [`node_client`] | a dApp's way in |
//! | [`holder`] | the lease holder dies, or hangs, at the worst moments |
//! | [`membership`] | a member is cut off |
//! | [`upgrade`] | the chain's runtime becomes another one |

mod holder;
mod membership;
mod messages;
mod node_client;
mod upgrade;

use phala_end_to_end::{cases, trials};
use std::process::ExitCode;

fn main() -> ExitCode {
	let cases = cases![
		messages::a_message_travels_both_ways_once_whatever_dies_on_the_way,
		messages::a_lying_relayer_is_refused_by_name_and_the_honest_one_carries_on,
		node_client::a_node_script_reads_the_metadata_and_transfers_pha,
		membership::a_member_that_was_cut_off_holds_nobody_up_and_catches_up,
		holder::a_holder_that_hangs_is_replaced_in_time_and_follows_when_it_goes_on,
		holder::a_holder_that_dies_with_the_answer_in_its_outbox_never_gave_it,
		holder::a_holder_that_dies_between_submission_and_finality_has_answered_once,
		upgrade::a_vote_upgrades_the_runtime_and_nodes_relayers_enclaves_and_a_request_live_through_it,
	];
	trials::run("faults", cases)
}
