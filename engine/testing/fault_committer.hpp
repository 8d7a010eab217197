// The part of a fault injector that runs on the service's thread and commits the faults. The class `injector`
// decides which fault is committed when.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <unordered_map>
#include <vector>

#include <cpgring/service_interceptor.hpp>
#include <cpgring/testing.hpp>

#include "base/clock.hpp"
#include "base/counter.hpp"
#include "testing/crowd.hpp"
#include "testing/injector.hpp"

namespace cpgring::testing {

/// Service thread only, except counts().
class fault_committer {
 public:
  /// Attaches to a service, until end().
  void begin(std::shared_ptr<service_controls> controls, const service_faults& faults);
  void end();
  /// Commits these faults from now on, and ends the effects of earlier ones.
  void inject(const service_faults& faults);
  /// Any thread.
  [[nodiscard]] injected_faults counts() const noexcept;

  // The functions of service_interceptor.
  request_handling before_request(const service_client& from, const service_request& request);
  void after_request(const service_client& from, const service_request& request);
  event_delivery before_event(const service_client& to, const service_event& event);
  void after_event(const service_client& to, const service_event& event);
  [[nodiscard]] std::span<const simulated_member> members_of(std::string_view group) const;
  [[nodiscard]] std::vector<std::uint32_t> nodes() const;
  void group_emptied(std::string_view group);
  void client_gone(std::uint64_t client) { occasions_.erase(client); }

 private:
  /// State while faults are set.
  struct present {
    present(const service_faults& faults, std::uint32_t own_node)
        : choices(faults), crowd(own_node, faults.crowd_members) {}

    injector choices;
    crowds crowd;
    base::time_point try_again_until{};
  };

  std::optional<draws> strikes(fault kind, std::uint64_t client);
  void committed(fault kind, std::uint64_t client, std::string_view what);
  void show(std::string_view group, const crowds::move& m);

  std::shared_ptr<service_controls> controls_;
  std::unique_ptr<present> now_;
  std::unordered_map<std::uint64_t, fault_occasions> occasions_;
  std::array<base::counter, fault_kinds> counts_;
};

}  // namespace cpgring::testing
