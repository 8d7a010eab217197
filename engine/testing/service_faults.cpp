#include <cpgring/testing.hpp>

#include <string_view>
#include <utility>

#include <fmt/format.h>

namespace cpgring::testing {
namespace {

result<void> rate_in_range(std::string_view name, const fault_rate& rate) {
  if (!(rate.probability >= 0 && rate.probability <= 1)) {  // written so that NaN fails too
    return fail(errc::invalid_param,
                fmt::format("{}.probability is {}, it must be 0 to 1", name, rate.probability));
  }
  return {};
}

template <class T>
result<void> in_range(std::string_view name, T value, T low, T high) {
  if (value < low || value > high) {
    return fail(errc::invalid_param, fmt::format("{} is {}, it must be {} to {}", name, value, low, high));
  }
  return {};
}

}  // namespace

result<void> service_faults::validate() const {
  for (const auto& one :
       {rate_in_range("torn_frame", torn_frame), rate_in_range("lying_frame", lying_frame),
        rate_in_range("late_doorbell", late_doorbell), rate_in_range("try_again", try_again),
        rate_in_range("stall", stall), rate_in_range("crowd", crowd), rate_in_range("hang_up", hang_up),
        rate_in_range("hang_up_sender", hang_up_sender), rate_in_range("hang_up_receiver", hang_up_receiver),
        in_range<std::int64_t>("late_doorbell_max", late_doorbell_max.count(), 1, 60000),
        in_range<std::int64_t>("try_again_for", try_again_for.count(), 0, 60000),
        in_range<std::int64_t>("stall_for", stall_for.count(), 1, 60000),
        in_range<std::uint32_t>("crowd_members", crowd_members, 1, 1000)}) {
    if (!one) {
      return one;
    }
  }
  return {};
}

bool service_faults::none() const noexcept {
  for (const auto* rate : {&torn_frame, &lying_frame, &late_doorbell, &try_again, &stall, &crowd, &hang_up,
                           &hang_up_sender, &hang_up_receiver}) {
    if (rate->probability > 0) {
      return false;
    }
  }
  return true;
}

std::uint64_t injected_faults::total() const noexcept {
  return torn_frames + lying_frames + late_doorbells + try_agains + stalls + crowd_moves + hang_ups +
         hang_ups_sender + hang_ups_receiver;
}

}  // namespace cpgring::testing
