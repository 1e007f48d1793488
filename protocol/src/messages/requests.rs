//! Paid requests.

use crate::{requests::RequestOrder, BlockNumber};
use codec::{Decode, DecodeWithMemTracking, Encode};
use scale_info::TypeInfo;

/// From the requests' pallet, to the members of the agent's cluster.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, TypeInfo)]
pub enum RequestsMessage {
	/// A paid request.
	#[codec(index = 0)]
	Request(RequestOrder),
	/// This block finds requests of the cluster open whose deadline is near: some of the members say
	/// when it is final to them. Without their word nobody is punished.
	#[codec(index = 1)]
	DeadlineNear { block: BlockNumber },
}
