// The other way to use stock libcpg: one thread for each handle, in cpg_dispatch(CS_DISPATCH_BLOCKING).
#pragma once

#include <cstddef>
#include <cstdint>
#include <latch>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "peers/libcpg_member.hpp"

namespace cpgring::bench {

/// From wait_until_idle() to take() each thread waits in a callback, so that events can accumulate.
class libcpg_threads {
 public:
  libcpg_threads(std::string_view stem, std::size_t handles);
  ~libcpg_threads();
  libcpg_threads(const libcpg_threads&) = delete;
  libcpg_threads& operator=(const libcpg_threads&) = delete;

  bool multicast(std::size_t index, std::string_view payload) {
    return all_[index]->handle.multicast(payload);
  }
  /// `each`: how many messages every handle gets before take() returns. Returns when all threads wait in a
  /// callback.
  void wait_until_idle(std::uint64_t each);
  /// Lets the threads continue. Returns when all of them have had their messages.
  void take();
  [[nodiscard]] std::size_t handles() const noexcept { return all_.size(); }

 private:
  struct alignas(128) one {
    one(libcpg_threads* owned_by, const std::string& group) : owner(owned_by), handle(group, deliver) {}
    libcpg_threads* owner;
    libcpg_member handle;
    std::uint64_t left = 0;
    std::thread thread;
  };
  static void deliver(cpg_handle_t handle, const cpg_name* group, std::uint32_t node, std::uint32_t pid,
                      void* message, std::size_t size);
  void send_to_all(char what);

  static thread_local one* mine;
  std::vector<std::unique_ptr<one>> all_;
  // Renewed while every thread waits for the message that is sent afterwards.
  std::optional<std::latch> standing_, go_, done_;
  std::uint64_t each_ = 0;
};

}  // namespace cpgring::bench
