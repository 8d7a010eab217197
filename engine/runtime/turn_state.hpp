// What one turn of one handle keeps on its stack.
#pragma once

#include <cstdint>
#include <utility>

#include "cpg/codec.hpp"
#include "dispatch/descriptor.hpp"
#include "dispatch/release_count.hpp"
#include "ipc/connection.hpp"
#include "runtime/pump.hpp"

namespace cpgring::runtime {

struct pump::turn_state {
  turn_state(const reactor::turn_budget& b, handle h, ipc::connection& c) noexcept
      : budget(b), self(std::move(h)), ring(c.events()), released(ring.capacity_bytes()) {}

  // Events that nobody wants to hear of cost no callback, but they cost the turn's time.
  static constexpr std::uint32_t taken_max = 4096;
  [[nodiscard]] bool spent() const noexcept { return events >= budget.events || bytes >= budget.bytes || taken >= taken_max; }

  const reactor::turn_budget& budget;
  handle self;
  ipc::ring_reader& ring;
  dispatch::release_count released;
  dispatch::descriptor_batch batch;
  cpg::event decoded;
  cpg::event_kind rare = cpg::event_kind::deliver;
  std::uint32_t rare_bytes = 0;
  std::uint32_t events = 0;  // callbacks run
  std::uint64_t bytes = 0;   // payload
  std::uint32_t taken = 0;   // chunks
};

}  // namespace cpgring::runtime
