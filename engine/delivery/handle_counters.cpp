#include "delivery/handle_counters.hpp"

#include <algorithm>

namespace cpgring::delivery {

handle_stats handle_counters::stats() const noexcept {
  handle_stats s;
  s.messages = messages.get();
  s.message_bytes = message_bytes.get();
  s.views = views.get();
  s.multicasts = multicasts.get();
  s.multicast_bytes = multicast_bytes.get();
  s.refused_not_writable = not_writable.get();
  s.doorbells = doorbells.get();
  s.pokes = pokes.get();
  s.fragments = fragments.get();
  s.aborted = aborted.get();
  s.shm_bytes = shm_bytes.get();
  s.copied_out = copied_out.get();
  s.copied_out_bytes = copied_out_bytes.get();
  s.copied_out_now = copied_out_now.get();
  s.ring_used = ring_used.get();
  s.ring_used_max = ring_used_max.get();
  s.oldest_age_ns = oldest_age_ns.get();
  s.overloads = overloads.get();
  s.callback_ns = callback_ns.get();
  return s;
}

void add_to(handle_stats& sum, const handle_stats& one) noexcept {
  sum.messages += one.messages;
  sum.message_bytes += one.message_bytes;
  sum.views += one.views;
  sum.multicasts += one.multicasts;
  sum.multicast_bytes += one.multicast_bytes;
  sum.refused_not_writable += one.refused_not_writable;
  sum.doorbells += one.doorbells;
  sum.pokes += one.pokes;
  sum.fragments += one.fragments;
  sum.aborted += one.aborted;
  sum.shm_bytes += one.shm_bytes;
  sum.leases += one.leases;
  sum.lease_bytes += one.lease_bytes;
  sum.copied_out += one.copied_out;
  sum.copied_out_bytes += one.copied_out_bytes;
  sum.copied_out_now += one.copied_out_now;
  sum.ring_used += one.ring_used;
  sum.ring_used_max = std::max(sum.ring_used_max, one.ring_used_max);
  sum.oldest_age_ns = std::max(sum.oldest_age_ns, one.oldest_age_ns);
  sum.overloads += one.overloads;
  sum.callback_ns += one.callback_ns;
}

}  // namespace cpgring::delivery
