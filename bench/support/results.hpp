// Results of the suites: rows of our figures against a peer's, as medians with their spread; printed as a
// table and as JSON.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace cpgring::bench {

enum class better { lower, higher };

struct row {
  std::string suite, name, unit;
  better which = better::lower;
  double ours = 0;
  std::optional<double> peer;  ///< empty: the peer can't do this
  std::string peer_name;
  std::optional<double> ratio;   ///< above 1: ours is better
  std::optional<double> wanted;  ///< the minimum ratio, or with `ours_at_most` the maximum of `ours`
  bool ours_at_most = false;
  int runs = 0;
  double spread = 0;  ///< the larger interquartile range of both sides, as a share of its median

  [[nodiscard]] bool missed() const noexcept;
};

double median(std::vector<double> values);

class results {
 public:
  explicit results(std::string suite) : suite_(std::move(suite)) {}

  /// Adds the samples of both sides, one for each repetition. An empty `peer`: no peer can do this. Prints a
  /// line at once.
  row& add(std::string name, std::string unit, better which, const std::vector<double>& ours,
           const std::vector<double>& peer, std::string peer_name);
  /// Like add(), with a wanted ratio.
  void want(std::string name, std::string unit, better which, const std::vector<double>& ours,
            const std::vector<double>& peer, std::string peer_name, double at_least);
  /// Records what was left out, and why. Prints a line at once.
  void note(std::string text);
  /// Adds a note to json() only, for what has already been printed.
  void note_silently(std::string text) { silent_notes_.push_back(std::move(text)); }

  [[nodiscard]] const std::vector<row>& rows() const noexcept { return rows_; }
  [[nodiscard]] std::string json() const;
  void print_table() const;

 private:
  std::string suite_;
  std::vector<row> rows_;
  std::vector<std::string> notes_, silent_notes_;
};

}  // namespace cpgring::bench
