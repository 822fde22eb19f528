"""Long courses: the live shell on a full cluster over hours of virtual time, among controllers' habits."""
