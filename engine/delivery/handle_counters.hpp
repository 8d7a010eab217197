// Counters of one handle over all its connections. Written on the reactor's thread, read on any thread.
#pragma once

#include <cpgring/stats.hpp>

#include "base/counter.hpp"

namespace cpgring::delivery {

struct handle_counters {
  base::counter messages, message_bytes, views, fragments, aborted, send_failures, shm_bytes;
  base::counter multicasts, multicast_bytes, not_writable, doorbells, pokes;
  base::counter copied_out, copied_out_bytes, copied_out_now;
  base::counter ring_used, ring_used_max, oldest_age_ns, overloads, callback_ns;

  /// All counters except those of leases.
  [[nodiscard]] handle_stats stats() const noexcept;
};

/// Adds `one` to `sum`; of maxima the larger one is kept.
void add_to(handle_stats& sum, const handle_stats& one) noexcept;

}  // namespace cpgring::delivery
