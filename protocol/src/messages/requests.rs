//! Paid requests.

use crate::requests::RequestOrder;
use codec::{Decode, DecodeWithMemTracking, Encode};
use scale_info::TypeInfo;

/// From the requests' pallet, to the members of the agent's cluster.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, TypeInfo)]
pub enum RequestsMessage {
	/// A paid request.
	#[codec(index = 0)]
	Request(RequestOrder),
}
