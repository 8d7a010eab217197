#include "peers/libcpg_processes.hpp"

#include "support/clocks.hpp"

namespace cpgring::bench {
namespace {

// State of a process that is a single member.
std::uint64_t received = 0, report_each = 0;
shared_semaphore* report = nullptr;

void count(cpg_handle_t, const cpg_name*, std::uint32_t, std::uint32_t, void*, std::size_t) {
  if (++received == report_each) {
    received = 0;
    report->post();
  }
}

void ignore(cpg_handle_t, const cpg_name*, std::uint32_t, std::uint32_t, void*, std::size_t) {}

}  // namespace

libcpg_processes::libcpg_processes(const std::string& group, std::size_t members, std::uint64_t batch)
    : batch_(batch), others_(members - 1, [&] {
        report = &done_;
        report_each = batch;
        const libcpg_member member(group, count);
        joined_.post();
        static_cast<void>(::cpg_dispatch(member.handle(), CS_DISPATCH_BLOCKING));
      }) {
  joined_.wait_for(others_.count());
  mine_.emplace(group, ignore);
}

void libcpg_processes::send_batch(std::string_view payload) {
  for (std::uint64_t i = 0; i < batch_; ++i) {
    mine_->multicast_retrying(payload);
  }
  for (std::uint64_t left = batch_; left > 0; --left) {
    must(::cpg_dispatch(mine_->handle(), CS_DISPATCH_ONE), "cpg_dispatch");
  }
  done_.wait_for(others_.count());
}

double libcpg_processes::cpu_seconds() const { return bench::cpu_seconds() + others_.cpu_seconds(); }

}  // namespace cpgring::bench
