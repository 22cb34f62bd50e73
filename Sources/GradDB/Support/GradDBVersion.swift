/// The version of this library and of gradctl.
public enum GradDBVersion {
    public static let current = "0.1.0-dev"
}
