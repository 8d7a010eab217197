#include "checker/checker.hpp"

#include <algorithm>
#include <map>
#include <set>
#include <tuple>
#include <unordered_map>

#include <fmt/format.h>

namespace cpgring::checker {
namespace {

constexpr std::size_t told_of_each_max = 20;

struct hash {
  std::size_t operator()(const message_id& m) const noexcept {
    return std::hash<std::uint64_t>()(m.sender * 0x9e3779b97f4a7c15U + m.sequence);
  }
};

std::string name(const message_id& m) { return fmt::format("{}/{}", m.sender, m.sequence); }

class judge {
 public:
  explicit judge(const std::vector<history>& processes) : processes_(processes) {
    for (const history& p : processes_) {
      for (const event& e : p.events) {
        if (e.what == event::kind::sent) {
          sent_by_.try_emplace(e.id.sender, p.self);
          auto& next = sent_[e.id.sender];
          next = std::max(next, e.id.sequence + 1);
        }
      }
    }
  }

  verdict run() {
    for (const history& p : processes_) {
      alone(p);
      holes(p);
    }
    for (std::size_t a = 0; a < processes_.size(); ++a) {
      for (std::size_t b = a + 1; b < processes_.size(); ++b) {
        order(processes_[a], processes_[b]);
        together(processes_[a], processes_[b]);
      }
    }
    return std::move(found_);
  }

 private:
  void complain(const char* promise, std::string text) {
    if (++told_[promise] > told_of_each_max) {
      ++found_.more;
    } else {
      found_.violations.push_back({promise, std::move(text)});
    }
  }

  /// What one history shows by itself.
  void alone(const history& p) {
    std::set<message_id> delivered, known;
    for (const event& e : p.events) {
      switch (e.what) {
        case event::kind::message: {
          ++found_.messages;
          const auto sender = sent_.find(e.id.sender);
          if (sender == sent_.end() || e.id.sequence >= sender->second) {
            complain("no creation", fmt::format("{} delivered {}, which nobody sent", p.process, name(e.id)));
          }
          if (!delivered.insert(e.id).second) {
            complain("no duplicates", fmt::format("{} delivered {} twice", p.process, name(e.id)));
          }
          break;
        }
        case event::kind::known: known.insert(e.id); break;
        case event::kind::view: ++found_.views; break;
        default: break;
      }
    }
    for (const message_id& m : known) {
      if (!delivered.contains(m)) {
        complain("self-delivery", fmt::format("{} was told that {} is known, but did not deliver it", p.process, name(m)));
      }
    }
  }

  void holes(const history& p) {
    std::unordered_map<life, std::uint64_t> next;
    for (const event& e : p.events) {
      if (e.what == event::kind::gap) {
        next.clear();
      } else if (e.what == event::kind::view) {
        // Whoever left may come back with messages between that we were not to see.
        std::erase_if(next, [&](const auto& one) {
          const auto by = sent_by_.find(one.first);
          return by != sent_by_.end() && std::find(e.left.begin(), e.left.end(), by->second) != e.left.end();
        });
      } else if (e.what == event::kind::message) {
        const auto [at, first] = next.try_emplace(e.id.sender, e.id.sequence);
        if (e.id.sequence > at->second) {
          complain("no holes", fmt::format("{} delivered {} where {}/{} was to come, and no view or gap tells of it", p.process, name(e.id),
                                           e.id.sender, at->second));
        }
        at->second = std::max(at->second, e.id.sequence + 1);
        static_cast<void>(first);
      }
    }
  }

  void order(const history& a, const history& b) {
    std::unordered_map<message_id, std::size_t, hash> at;
    for (std::size_t i = 0; i < b.events.size(); ++i) {
      if (b.events[i].what == event::kind::message) {
        at.try_emplace(b.events[i].id, i);
      }
    }
    std::optional<std::pair<std::size_t, message_id>> last;
    std::set<message_id> seen;
    for (const event& e : a.events) {
      if (e.what != event::kind::message) {
        continue;
      }
      const auto found = at.find(e.id);
      if (found == at.end() || !seen.insert(e.id).second) {
        continue;
      }
      ++found_.orders_compared;
      if (last && found->second < last->first) {
        complain("total order",
                 fmt::format("{} delivered {} before {}, {} after it", a.process, name(last->second), name(e.id), b.process));
      }
      last = {found->second, e.id};
    }
  }

  /// From one view to the next, as one process went.
  struct step {
    std::tuple<std::uint64_t, std::size_t> from, to;  // ring, and the how-manieth view there in which both processes are
    const event *before, *after;
    std::vector<message_id> between;
  };

  /// A view's name that two processes agree on: its ring, and its place among those views of that ring in which both are members. Both see
  /// the same ones: they begin where the later of them joined, or with the ring.
  static std::vector<step> steps(const history& p, const address& other) {
    std::vector<step> all;
    std::map<std::uint64_t, std::size_t> seen;
    const event* last = nullptr;
    std::tuple<std::uint64_t, std::size_t> last_name;
    std::vector<message_id> since;
    const auto is_in = [](const event& view, const address& who) {
      return std::find(view.members.begin(), view.members.end(), who) != view.members.end();
    };
    for (const event& e : p.events) {
      if (e.what == event::kind::gap) {
        last = nullptr;
        seen.clear();
      } else if (e.what == event::kind::message) {
        since.push_back(e.id);
      } else if (e.what == event::kind::view) {
        if (e.ring == 0 || !is_in(e, p.self) || !is_in(e, other)) {
          last = nullptr;
          continue;
        }
        const std::tuple this_name{e.ring, seen[e.ring]++};
        if (last != nullptr) {
          all.push_back({last_name, this_name, last, &e, std::move(since)});
        }
        since = {};
        last = &e;
        last_name = this_name;
      }
    }
    return all;
  }

  void together(const history& a, const history& b) {
    const auto of_a = steps(a, b.self), of_b = steps(b, a.self);
    const auto same_view = [](const event& x, const event& y) {
      return x.members == y.members && x.joined == y.joined && x.left == y.left;
    };
    std::map<decltype(step::from), const step*> by_start;
    for (const step& one : of_b) {
      by_start.try_emplace(one.from, &one);
    }
    for (const step& one : of_a) {
      const auto found = by_start.find(one.from);
      if (found == by_start.end() || found->second->to != one.to || !same_view(*one.before, *found->second->before) ||
          !same_view(*one.after, *found->second->after)) {
        continue;  // they parted here
      }
      ++found_.steps_compared;
      const auto &mine = one.between, &theirs = found->second->between;
      if (mine == theirs) {
        continue;
      }
      const auto at = std::mismatch(mine.begin(), mine.end(), theirs.begin(), theirs.end());
      complain(
          "virtual synchrony",
          fmt::format(
              "{} and {} went together from view {} of ring {} to view {} of ring {}, with {} and {} messages between; the first to "
              "differ is {} here, {} there",
              a.process, b.process, std::get<1>(one.from), std::get<0>(one.from), std::get<1>(one.to), std::get<0>(one.to), mine.size(),
              theirs.size(), at.first == mine.end() ? "none" : name(*at.first), at.second == theirs.end() ? "none" : name(*at.second)));
    }
  }

  const std::vector<history>& processes_;
  std::map<life, std::uint64_t> sent_;  // how many
  std::map<life, address> sent_by_;
  std::map<std::string, std::size_t> told_;
  verdict found_;
};

}  // namespace

std::string verdict::text() const {
  std::string all = fmt::format("{} messages, {} views; {} orders and {} steps between views compared\n", messages, views, orders_compared,
                                steps_compared);
  for (const violation& v : violations) {
    all += fmt::format("{}: {}\n", v.promise, v.text);
  }
  if (more != 0) {
    all += fmt::format("and {} more\n", more);
  }
  return all;
}

verdict check(const std::vector<history>& processes) { return judge(processes).run(); }

}  // namespace cpgring::checker
