# docker build -t meridian .
# docker run --rm -v meridian:/data meridian init --help
FROM golang:1.26-bookworm AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
# timetzdata: the zones of people's working hours are in the binary, as there are none in the image.
RUN CGO_ENABLED=0 go build -trimpath -tags timetzdata -ldflags="-s -w" -o /out/meridian ./cmd/meridian \
 && install -d -m 0700 /out/data

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /out/meridian /meridian
COPY --from=build --chown=65532:65532 /out/data /data
USER 65532:65532
WORKDIR /data
VOLUME /data
EXPOSE 8008
STOPSIGNAL SIGTERM
# Asks /livez on admin_listen, in this container.
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s CMD ["/meridian", "healthcheck", "--config", "/data/meridian.yaml"]
ENTRYPOINT ["/meridian"]
CMD ["serve", "--config", "/data/meridian.yaml"]
