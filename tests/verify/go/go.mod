module notme/verify

go 1.20
