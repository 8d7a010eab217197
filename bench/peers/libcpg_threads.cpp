#include "peers/libcpg_threads.hpp"

#include <fmt/format.h>

#include "cli/unique_name.hpp"

namespace cpgring::bench {
namespace {

// First byte of a control message. All other messages are counted.
constexpr char stand = 'S', end = 'E';

}  // namespace

thread_local libcpg_threads::one* libcpg_threads::mine = nullptr;

void libcpg_threads::deliver(cpg_handle_t handle, const cpg_name*, std::uint32_t, std::uint32_t,
                             void* message, std::size_t) {
  switch (*static_cast<const char*>(message)) {
    case stand:
      mine->left = mine->owner->each_;
      mine->owner->standing_->count_down();
      mine->owner->go_->wait();
      break;
    case end:
      mine->handle.forget();
      ::cpg_finalize(handle);
      break;
    default:
      if (--mine->left == 0) {
        mine->owner->done_->count_down();
      }
  }
}

libcpg_threads::libcpg_threads(std::string_view stem, std::size_t handles) {
  const auto group = cli::unique_name(stem);
  for (std::size_t i = 0; i < handles; ++i) {
    auto& other = *all_.emplace_back(std::make_unique<one>(this, fmt::format("{}-{}", group, i)));
    other.thread = std::thread([&other] {
      mine = &other;
      static_cast<void>(::cpg_dispatch(other.handle.handle(), CS_DISPATCH_BLOCKING));
    });
  }
}

libcpg_threads::~libcpg_threads() {
  send_to_all(end);
  for (auto& each : all_) {
    each->thread.join();
  }
}

void libcpg_threads::send_to_all(char what) {
  for (auto& each : all_) {
    each->handle.multicast_retrying({&what, 1});
  }
}

void libcpg_threads::wait_until_idle(std::uint64_t each) {
  const auto count = static_cast<std::ptrdiff_t>(all_.size());
  each_ = each;
  standing_.emplace(count);
  go_.emplace(1);
  done_.emplace(count);
  send_to_all(stand);
  standing_->wait();
}

void libcpg_threads::take() {
  go_->count_down();
  done_->wait();
}

}  // namespace cpgring::bench
