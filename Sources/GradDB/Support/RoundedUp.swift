extension Int {
    /// The least multiple of a positive number that is not below this one, which is not negative.
    func roundedUp(to multiple: Int) -> Int { (self + multiple - 1) / multiple * multiple }
}
