//! Every way a call can be refused, with etcd's own texts and codes: clients compare them.

use tonic::{Code, Status};

macro_rules! refusals {
    ($($number:literal $name:ident $code:ident $text:literal)*) => {
        /// Why a call was refused. The numbers travel between sites and never change.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
        pub enum Refusal {
            $(
                #[doc = $text]
                #[error($text)]
                $name = $number,
            )*
        }

        impl Refusal {
            const TABLE: &'static [(u32, Self, Code)] = &[$(($number, Self::$name, Code::$code)),*];
        }
    };
}

refusals! {
    1 EmptyKey InvalidArgument "etcdserver: key is not provided"
    2 KeyNotFound InvalidArgument "etcdserver: key not found"
    3 ValueProvided InvalidArgument "etcdserver: value is provided"
    4 LeaseProvided InvalidArgument "etcdserver: lease is provided"
    5 TooManyOps InvalidArgument "etcdserver: too many operations in txn request"
    6 DuplicateKey InvalidArgument "etcdserver: duplicate key given in txn request"
    7 InvalidSort InvalidArgument "etcdserver: invalid sort option"
    8 Compacted OutOfRange "etcdserver: mvcc: required revision has been compacted"
    9 FutureRevision OutOfRange "etcdserver: mvcc: required revision is a future revision"
    10 NoSpace ResourceExhausted "etcdserver: mvcc: database space exceeded"
    11 LeaseNotFound NotFound "etcdserver: requested lease not found"
    12 LeaseExists FailedPrecondition "etcdserver: lease already exists"
    13 LeaseTooLong OutOfRange "etcdserver: too large lease TTL"
    14 MemberExists FailedPrecondition "etcdserver: member ID already exist"
    15 PeerUrlExists FailedPrecondition "etcdserver: Peer URLs already exists"
    16 MemberNotLearner FailedPrecondition "etcdserver: can only promote a learner member"
    17 LearnerNotReady FailedPrecondition "etcdserver: can only promote a learner member which is in sync with leader"
    18 BadPeerUrls InvalidArgument "etcdserver: given member URLs are invalid"
    19 MemberNotFound NotFound "etcdserver: member not found"
    20 TooLarge InvalidArgument "etcdserver: request is too large"
    21 TooManyRequests ResourceExhausted "etcdserver: too many requests"
    22 NoLeader Unavailable "etcdserver: no leader"
    23 LeaderChanged Unavailable "etcdserver: leader changed"
    24 TimedOut Unavailable "etcdserver: request timed out"
    25 Stopped Unavailable "etcdserver: server stopped"
    26 NotLeader FailedPrecondition "etcdserver: not leader"
    27 Unhealthy Unavailable "etcdserver: unhealthy cluster"
    28 BadTransferee FailedPrecondition "etcdserver: bad leader transferee"
    29 Corrupt DataLoss "etcdserver: corrupt cluster"
    30 LearnerRefuses Unavailable "etcdserver: rpc not supported for learner"
    31 TooManyLearners FailedPrecondition "etcdserver: too many learner members in cluster"
    32 InvalidTtl InvalidArgument "etcdserver: invalid lease TTL"
}

impl Refusal {
    /// Its number between sites.
    #[must_use]
    pub fn number(self) -> u32 {
        self as u32
    }

    /// The refusal of that number; one from a newer site reads as a call that was not answered.
    #[must_use]
    pub fn numbered(number: u32) -> Self {
        Self::TABLE.iter().find(|row| row.0 == number).map_or(Self::Unhealthy, |row| row.1)
    }

    /// Its gRPC code.
    #[must_use]
    pub fn code(self) -> Code {
        Self::TABLE.iter().find(|row| row.1 == self).map_or(Code::Unknown, |row| row.2)
    }
}

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Self {
        Self::new(refusal.code(), refusal.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_lead_back_to_their_refusal() {
        for (number, refusal, code) in Refusal::TABLE {
            assert_eq!(Refusal::numbered(*number), *refusal);
            assert_eq!((refusal.number(), refusal.code()), (*number, *code));
        }
        assert_eq!(Refusal::numbered(u32::MAX), Refusal::Unhealthy);
    }
}
