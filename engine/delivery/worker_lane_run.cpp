// The worker's side of a worker lane: runs the callbacks of messages and reports them.
#include <memory>
#include <utility>

#include "base/check.hpp"
#include "delivery/worker_lane.hpp"
#include "dispatch/deliver.hpp"

namespace cpgring::delivery {

/// One run of items on a worker. Sends one report for each unbroken sequence of claims.
struct worker_lane::run {
  run(worker_lane& l, dispatch::worker_link& f)
      : lane(l),
        from(f),
        self(l.who_.self()),
        factory(l.leases_.pool(), f.scratch),
        writer(l.session_.group(), &factory) {}

  void begin_report(std::uint64_t claim) { report = {&lane, claim, 0, 0, 0, nullptr, nullptr, nullptr, 0}; }
  void send_report(std::uint64_t next_claim) {
    CPGRING_CHECK(from.back_ends.in.emplace(std::move(report)));
    begin_report(next_claim);
  }
  [[nodiscard]] bool may_call() const noexcept {
    return !lane.stopped_.load(std::memory_order_relaxed) &&
           !lane.shared_.stop_requested.load(std::memory_order_relaxed);
  }
  void item(const dispatch::work_item& one);
  std::optional<error> call(const dispatch::work_item& one, bool copied);

  worker_lane& lane;
  dispatch::worker_link& from;
  handle self;
  leasing::lease_factory factory;
  message_writer writer;
  dispatch::work_done report{};
};

std::optional<error> worker_lane::run::call(const dispatch::work_item& one, bool copied) {
  writer.set(one.data, one.size, one.node, one.pid, one.sequence);
  writer.set_in_ring(!copied);
  auto thrown = dispatch::deliver([&] { lane.who_.calls.on_message(self, writer.get()); });
  if (factory.has_ring_lease() && report.count > 1) [[unlikely]] {
    // The items before this one can be reclaimed; this one gets a report of its own.
    --report.count;
    send_report(one.claim);
    report.count = 1;
  }
  ++report.called;
  report.bytes += one.size;
  return thrown;
}

void worker_lane::run::item(const dispatch::work_item& one) {
  const bool copied = one.copy_size != 0;
  if (copied || one.claim != report.claim + report.count) {
    if (report.count != 0) {
      send_report(0);
    }
    report.claim = copied ? 0 : one.claim;
  }
  ++report.count;
  std::optional<error> thrown;
  if (may_call()) {  // false: the handle was closed, or the engine stopped
    thrown = call(one, copied);
  }
  if (one.confirms != nullptr && !lane.shared_.stop_requested.load(std::memory_order_relaxed)) [[unlikely]] {
    auto also = dispatch::deliver([&] { static_cast<cpg::queued_multicast*>(one.confirms)->report(); });
    thrown = thrown ? std::move(thrown) : std::move(also);
  }
  if (copied || thrown || factory.has_ring_lease()) [[unlikely]] {
    report.ring_lease = factory.take_ring_lease();
    report.copy = copied ? one.copy : nullptr;
    report.copy_size = one.copy_size;
    if (thrown) {
      lane.stop_callbacks();
      report.failure = std::make_unique<error>(std::move(*thrown));
    }
    send_report(copied ? 0 : one.claim + 1);
  }
}

std::uint32_t worker_lane::run_items(worker_target& self, dispatch::worker_link& from, std::uint32_t first,
                                     std::uint32_t count) {
  run here(static_cast<worker_lane&>(self), from);
  auto& work = from.work_ends.out;
  here.begin_report(work.front(first).claim);
  for (std::uint32_t i = 0; i < count; ++i) {
    here.item(work.front(first + i));
  }
  if (here.report.count != 0) {
    here.send_report(0);
  }
  return count;
}

}  // namespace cpgring::delivery
