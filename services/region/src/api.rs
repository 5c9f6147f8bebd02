//! The RPCs: how the region stands, and what an operator or the other region wants of it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use ids::Region;
use lease::{Etcd, Event, Key, Mode, Stand};
use proto::{
    market::v1 as market,
    region::v1::{
        DrainRequest, DrainResponse, DurabilityMode, FailbackRequest, FailbackResponse, FailoverRequest, FailoverResponse,
        GetRegionRequest, GetRegionResponse, GetStandingRequest, GetStandingResponse, GetStatusRequest, GetStatusResponse, HandOverRequest,
        HandOverResponse, Home, ListHomesRequest, ListHomesResponse, Mirror, Told, UndrainRequest, UndrainResponse,
        region_peer_service_server::RegionPeerService, region_service_server::RegionService,
    },
};
use tonic::{Request, Response, Status};

use crate::{
    error::Error,
    keeping::{Handle, HomeStanding, Standing},
    peer::Peer,
};

/// Within this a home has moved, or has stayed.
const MOVES: Duration = Duration::from_secs(4);
/// A home that is not here yet is asked for again after this.
const LOOKED_AT_AGAIN: Duration = Duration::from_millis(300);

/// Answers the RPCs.
#[derive(Debug, Clone)]
pub(crate) struct Api {
    pub(crate) region: Region,
    pub(crate) keeper: Handle,
    pub(crate) etcd: Etcd,
    pub(crate) peer: Option<Peer>,
}

fn region(text: market::Region) -> Result<Region, Error> {
    Region::try_from(text).map_err(|_| Error::Malformed("home must be eu or us".to_owned()))
}

fn wire(region: Region) -> i32 {
    market::Region::from(region).into()
}

fn mode(mode: Mode) -> i32 {
    match mode {
        Mode::Mirrored => DurabilityMode::Mirrored.into(),
        Mode::Solo => DurabilityMode::Solo.into(),
    }
}

fn home(standing: &Standing, home: &HomeStanding) -> Home {
    Home {
        home: wire(home.home),
        holder: wire(home.record.holder),
        epoch: home.record.epoch,
        mode: mode(home.record.mode),
        valid_ms: u32::try_from(standing.left(home.valid_until).as_millis()).unwrap_or(u32::MAX),
        alive: home.is_alive,
        pinned: home.record.pinned,
    }
}

impl Api {
    fn known(&self, of: Region) -> Result<(Arc<Standing>, HomeStanding), Error> {
        let standing = self.keeper.now();
        let known = standing.homes[of as usize].ok_or(Error::Unknown(of))?;
        Ok((standing, known))
    }

    /// Takes a home: from the peer, or from nobody when that is gone. Who has it may just be changing, so that is looked at again and again.
    async fn take(&self, of: Region, force: bool) -> Result<Home, Error> {
        tracing::info!(home = %of, force, "an operator wants the home");
        let deadline = Instant::now() + MOVES;
        loop {
            let (standing, known) = self.known(of)?;
            if known.stand == Stand::Held && standing.writes(of) {
                return Ok(home(&standing, &known));
            }
            if Instant::now() >= deadline {
                return Err(Error::NotMoved(of, MOVES.as_secs()));
            }
            if known.stand != Stand::Held {
                self.ask_for(&known, force).await?;
            }
            self.keeper.until(LOOKED_AT_AGAIN, |standing| standing.writes(of)).await;
        }
    }

    /// Has the holder give a home up, or the keeper take what nobody holds.
    async fn ask_for(&self, known: &HomeStanding, force: bool) -> Result<(), Error> {
        let of = known.home;
        let is_elsewhere = known.record.holder != self.region;
        if known.is_alive && is_elsewhere {
            let peer = self.peer.as_ref().ok_or_else(|| Error::Peer("there is none".to_owned()))?;
            return peer.hand_over(of, of != self.region).await.map_err(|status| Error::Peer(status.message().to_owned()));
        }
        if known.record.mode == Mode::Solo && is_elsewhere && !force {
            return Err(Error::MayLose(of));
        }
        self.keeper.tell(Event::Take { home: of, force });
        Ok(())
    }

    async fn drain_self(&self, on: bool) -> Result<(), Error> {
        tracing::info!(on, "an operator drains the region");
        self.etcd.put(Key::Drained(self.region), on.then_some("1")).await?;
        self.keeper.tell(Event::Changed);
        // Best effort: with the other region away everything stays.
        self.keeper.until(MOVES, |standing| standing.drained[self.region as usize] == on).await;
        if on {
            self.keeper.until(MOVES, |standing| Region::ALL.into_iter().all(|home| !standing.writes(home))).await;
        }
        Ok(())
    }
}

#[tonic::async_trait]
impl RegionService for Api {
    async fn get_region(&self, request: Request<GetRegionRequest>) -> Result<Response<GetRegionResponse>, Status> {
        let (standing, known) = self.known(region(request.into_inner().home())?)?;
        let (record, drained) = (known.record, standing.drained[known.home as usize]);
        Ok(Response::new(GetRegionResponse { holder: wire(record.holder), epoch: record.epoch, mode: mode(record.mode), drained }))
    }

    async fn list_homes(&self, _: Request<ListHomesRequest>) -> Result<Response<ListHomesResponse>, Status> {
        let standing = self.keeper.now();
        let homes = standing.homes.iter().flatten().map(|known| home(&standing, known)).collect();
        Ok(Response::new(ListHomesResponse { homes }))
    }

    async fn get_status(&self, _: Request<GetStatusRequest>) -> Result<Response<GetStatusResponse>, Status> {
        let standing = self.keeper.now();
        let mirror = standing.mirror.map(|mirror| Mirror {
            streaming: mirror.look.streaming,
            lag_bytes: mirror.lag,
            confirmed: mirror.look.names,
            listening: mirror.look.listening,
        });
        Ok(Response::new(GetStatusResponse {
            region: wire(standing.region),
            homes: standing.homes.iter().flatten().map(|known| home(&standing, known)).collect(),
            mirror,
            refused_rows: standing.mirror.map_or(0, |mirror| mirror.look.refused),
            drained: standing.drained[standing.region as usize],
            ready: standing.is_ready,
            caught_up: standing.is_caught_up,
        }))
    }

    async fn drain(&self, _: Request<DrainRequest>) -> Result<Response<DrainResponse>, Status> {
        self.drain_self(true).await?;
        Ok(Response::new(DrainResponse {}))
    }

    async fn undrain(&self, _: Request<UndrainRequest>) -> Result<Response<UndrainResponse>, Status> {
        self.drain_self(false).await?;
        Ok(Response::new(UndrainResponse {}))
    }

    async fn failover(&self, request: Request<FailoverRequest>) -> Result<Response<FailoverResponse>, Status> {
        let request = request.into_inner();
        let taken = self.take(region(request.home())?, request.force).await?;
        Ok(Response::new(FailoverResponse { home: Some(taken) }))
    }

    async fn failback(&self, request: Request<FailbackRequest>) -> Result<Response<FailbackResponse>, Status> {
        let of = region(request.into_inner().home())?;
        if of != self.region {
            return Err(Error::Malformed(format!("a home goes back to its own region: ask {of}")).into());
        }
        let taken = self.take(of, false).await?;
        Ok(Response::new(FailbackResponse { home: Some(taken) }))
    }
}

#[tonic::async_trait]
impl RegionPeerService for Api {
    async fn get_standing(&self, _: Request<GetStandingRequest>) -> Result<Response<GetStandingResponse>, Status> {
        let standing = self.keeper.now();
        let mirror = standing.mirror.ok_or_else(|| Error::Peer("its database has not answered yet".to_owned()))?;
        let told = |(home, row): (Region, Option<(Region, u64)>)| {
            let (holder, epoch) = row?;
            Some(Told { home: wire(home), holder: wire(holder), epoch })
        };
        let homes = Region::ALL.into_iter().zip(mirror.look.rows).filter_map(told).collect();
        Ok(Response::new(GetStandingResponse { position: mirror.position, confirmed: mirror.confirmed, ready: standing.is_ready, homes }))
    }

    async fn hand_over(&self, request: Request<HandOverRequest>) -> Result<Response<HandOverResponse>, Status> {
        let request = request.into_inner();
        let of = region(request.home())?;
        let (_, known) = self.known(of)?;
        if known.record.holder != self.region {
            return Ok(Response::new(HandOverResponse {}));
        }
        if known.stand == Stand::Apart {
            return Err(Error::NotHolder(of).into());
        }
        self.keeper.tell(Event::Yield { home: of, pinned: request.pinned });
        let is_gone = |standing: &Standing| standing.homes[of as usize].is_some_and(|home| home.record.holder != self.region);
        if !self.keeper.until(MOVES, is_gone).await {
            return Err(Error::NotMoved(of, MOVES.as_secs()).into());
        }
        Ok(Response::new(HandOverResponse {}))
    }
}
